"""The candidates: scores, ranking, and the choice."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from example_papers import CANDIDATES, write

from pilot.workbench.documents import candidates
from pilot.workbench.documents.candidates import Candidate

HEADER = CANDIDATES.split("\n")[0]


def wrong(root: Path, text: str) -> list[str]:
    return [str(problem) for problem in candidates.read(write(root, candidates=text)).issues]


def one(name: str, impact: int, feasibility: int, readiness: int) -> Candidate:
    return Candidate(problem=name, impact=impact, feasibility=feasibility, readiness=readiness)


def test_realistic_candidates_are_ranked_by_the_product(tmp_path: Path) -> None:
    found = candidates.read(write(tmp_path))
    assert found.issues == []
    ranking = [(row.problem, row.score) for row in candidates.ranked(found.rows)]
    assert ranking == [("Ticket triage", 80), ("Invoice matching", 30), ("Contract summaries", 12)]


def test_the_ranking_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [one("b", 4, 3, 2), one("a", 4, 3, 2), one("c", 2, 3, 4), one("d", 1, 5, 5), one("e", 5, 5, 1)]
    rankings = {tuple(row.problem for row in candidates.ranked(list(order))) for order in permutations(rows)}
    assert rankings == {("e", "d", "a", "b", "c")}


def test_one_point_that_changes_the_winner_is_said() -> None:
    close = [one("A", 4, 4, 3), one("B", 4, 4, 2)]
    assert "B wins if readiness of A is 2" not in candidates.fragile(close)
    assert "B wins if feasibility of A is 2" not in candidates.fragile(close)
    assert candidates.fragile([one("A", 4, 4, 3), one("B", 4, 3, 4)]) == [
        "B wins if impact of A is 3",
        "B wins if feasibility of A is 3",
        "B wins if readiness of A is 2",
        "B wins if impact of B is 5",
        "B wins if feasibility of B is 4",
        "B wins if readiness of B is 5",
    ]
    assert candidates.fragile([one("A", 5, 5, 5), one("B", 2, 2, 2)]) == []


@pytest.mark.parametrize(
    ("was", "is_now", "says"),
    [
        (
            "Ticket triage,4",
            "Ticket triage,7",
            "candidates.csv:2: impact: Input should be less than or equal to 5",
        ),
        (
            "Ticket triage,4",
            "Ticket triage,0",
            "csv:2: impact: Input should be greater than or equal to 1",
        ),
        ("Ticket triage,4", "Ticket triage,4.5", "csv:2: impact: Input should be a valid integer"),
        ("Invoice matching,5", "Invoice matching,", "candidates.csv:3: impact: is empty. Write 1 to 5"),
        ("two years of tickets", "", "csv:2: feasibility_evidence: is empty, a placeholder, or shorter"),
        (
            "two years of tickets",
            "TODO",
            "csv:2: feasibility_evidence: is empty, a placeholder, or shorter",
        ),
        ("Tom of support", "", "csv:2: asked: is empty or a placeholder. Write who was asked, by name"),
        ("Tom of support,yes", "Tom of support,maybe", "csv:2: selected: Input should be a valid boolean"),
        ("Invoice matching", "ticket Triage", "candidates.csv:3: problem: 'ticket Triage' is there twice"),
        (
            '"120 tickets a day, 9 % misrouted"',
            "120 tickets a day, 9 %",
            "csv:2: the row has 11 fields, and the header 10",
        ),
        (",readiness,", ",", "csv:1: the header is missing 'readiness'"),
        (",readiness,", ",impact,", "csv:1: the header is missing 'readiness', repeats 'impact'"),
        (",readiness,", ",readyness,", "does not know 'readyness'"),
        ('misrouted"', 'misrouted"x', "is not CSV"),
        ("Ines of accounting,,", "Ines of accounting,yes,", "2 candidates are selected"),
        ("Tom of support,yes", "Tom of support,", "0 candidates are selected"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_mend(was: str, is_now: str, says: str, tmp_path: Path) -> None:
    assert was in CANDIDATES
    [said] = wrong(tmp_path, CANDIDATES.replace(was, is_now, 1))
    assert says in said


def test_one_candidate_is_no_choice(tmp_path: Path) -> None:
    assert "names 1 candidates" in wrong(tmp_path, "\n".join(CANDIDATES.split("\n")[:2]))[0]
    assert "names 0 candidates" in wrong(tmp_path, HEADER + "\n")[0]
    assert "the header is missing" in wrong(tmp_path, "")[0]


def test_the_minimum_on_an_axis_or_a_lower_rank_needs_a_reason(tmp_path: Path) -> None:
    low = CANDIDATES.replace("tickets,4,the team", "tickets,1,the team")
    assert "selected with a 1 on readiness" in wrong(tmp_path, low)[0]
    second = CANDIDATES.replace("Tom of support,yes,", "Tom of support,,").replace("accounting,,", "accounting,yes,")
    assert "'Ticket triage' ranks first" in wrong(tmp_path, second)[0]
    assert wrong(tmp_path, low.replace("support,yes,", "support,yes,the lead trains them first")) == []
    assert wrong(tmp_path, second.replace("accounting,yes,", "accounting,yes,the auditor asks for it")) == []
    assert len(wrong(tmp_path, low.replace("support,yes,", "support,yes,TBD"))) == 1


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / candidates.CANDIDATES
    file.write_bytes(b"\xef\xbb\xbf" + CANDIDATES.replace("\n", "\r\n").encode())
    assert candidates.read(tmp_path).issues == []


def test_a_missing_file_says_what_to_write(tmp_path: Path) -> None:
    [problem] = candidates.read(tmp_path).issues
    assert problem.fix == "Add it: `pilot paper add candidates.csv`."
