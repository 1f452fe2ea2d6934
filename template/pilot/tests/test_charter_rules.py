"""The charter: each rule, seen to refuse and to let through."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from example_invoices import Prediction
from example_papers import CHARTER, SIGNED, edit, write

from pilot.contract import PilotError
from pilot.workbench.documents import charter_rules
from pilot.workbench.documents.model import is_placeholder


def wrong(root: Path, *changes: tuple[str, str], start: date = SIGNED) -> list[str]:
    """The problems after these changes, as `rule file:line: what fix`."""
    write(root)
    for was, is_now in changes:
        edit(root, was, is_now)
    return [f"{problem.rule} {problem}" for problem in charter_rules.issues(charter_rules.read(root), start)]


def test_a_realistic_charter_holds(tmp_path: Path) -> None:
    assert wrong(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        '"Ada Byron and Bob Ray"',
        '"Ada Byron, Bob Ray"',
        "Ada Byron & Bob Ray",
        "the triage team",
        "Committee",
        "TBD",
    ],
)
def test_an_owner_who_is_not_one_person_is_refused(name: str, tmp_path: Path) -> None:
    [said] = wrong(tmp_path, ("name: Ada Byron", f"name: {name}"))
    assert said.startswith("charter-owner phases/1-scope/charter.md:16: owner.name: ")


@pytest.mark.parametrize("name", ["Anders Sandberg", "Anne-Marie Orff", "José Ortega y Gasset", "Oliver O'Brien"])
def test_a_name_that_merely_looks_like_two_is_one(name: str, tmp_path: Path) -> None:
    assert wrong(tmp_path, ("name: Ada Byron", f'name: "{name}"')) == []


@pytest.mark.parametrize("mail", ["", "team@example.org", "ml-support@example.org", "ada", "a@x.org b@x.org"])
def test_an_address_of_a_team_or_of_two_is_refused(mail: str, tmp_path: Path) -> None:
    [said] = wrong(tmp_path, ("email: ada@example.org", f"email: {mail}"))
    assert "charter-owner" in said
    assert "charter.md:17: owner.email" in said


@pytest.mark.parametrize(
    ("part", "was", "is_now"),
    [
        ("name", "name: Grace Hopper", "name: ada  byron"),
        ("name", "name: Grace Hopper\n  email: grace@example.org", "name: Ada Byron\n  email: ada@example.org"),
        ("email", "grace@example.org", "Ada@example.org"),
    ],
)
def test_an_owner_who_hands_over_to_themselves_is_refused(part: str, was: str, is_now: str, tmp_path: Path) -> None:
    [said] = wrong(tmp_path, (was, is_now))
    assert said.startswith("charter-receiver phases/1-scope/charter.md:2")
    assert f"receiving_owner.{part}: " in said
    assert "nobody hands over to themselves" in said


@pytest.mark.parametrize("fact", ["metric: cycle_time", "unit: hours", "direction: down", "target: 9"])
def test_a_target_that_lacks_a_part_is_refused(fact: str, tmp_path: Path) -> None:
    name = fact.split(":")[0]
    assert any(f"{name}: is empty." in said for said in wrong(tmp_path, (fact, f"{name}:")))


@pytest.mark.parametrize(
    ("was", "is_now", "says"),
    [
        ("unit: hours", "unit: points", "the unit of cycle_time is hours"),
        ("direction: down", "direction: up", "cycle_time gets better when it goes down"),
        ("target: 9", "target: 9\ninterval: always_valid", "interval: an always-valid interval is for a share"),
        (
            "target: 9",
            "target: 9\nguardrails:\n  - {metric: accuracy, direction: down, margin: 0.02}",
            "guardrails.0.direction: accuracy gets better when it goes up",
        ),
        (
            "target: 9",
            "target: 9\nguardrails:\n  - {metric: latency, direction: up, margin: 2}",
            "guardrails.0.direction: latency gets better when it goes down",
        ),
        ("target: 9", "target: -1", "not a number that cycle_time can reach"),
        ("target: 9", "target: nan", "not a number that cycle_time can reach"),
        (
            "population: all tickets in English that arrive by mail",
            "population: ???",
            "population: is empty or a place",
        ),
        ("judged_items: 300", "judged_items: 0", "judged_items: is empty or nothing"),
        ("metric: cycle_time\nunit: hours", "metric: cost_per_item\nunit: currency", "currency: is empty"),
    ],
)
def test_a_target_that_cannot_be_measured_is_refused(was: str, is_now: str, says: str, tmp_path: Path) -> None:
    [said] = wrong(tmp_path, (was, is_now))
    assert says in said


def test_improve_efficiency_is_no_target(tmp_path: Path) -> None:
    write(tmp_path)
    edit(tmp_path, "metric: cycle_time", "metric: improve efficiency")
    with pytest.raises(PilotError, match=r"charter\.md:5: metric"):
        charter_rules.read(tmp_path)


def test_an_accuracy_is_a_share_that_goes_up(tmp_path: Path) -> None:
    good = ("metric: cycle_time\nunit: hours\ndirection: down\ntarget: 9",)
    better = "metric: accuracy\nunit: share\ndirection: up\ntarget: "
    assert wrong(tmp_path, (good[0], f"{better}0.85")) == []
    assert "can reach" in wrong(tmp_path, (good[0], f"{better}85"))[0]


@pytest.mark.parametrize(
    ("weeks", "decision", "red"),
    [
        (3, "2027-02-01", {"charter-weeks"}),
        (4, "2027-02-08", set()),
        (4, "2027-02-22", set()),
        (4, "2027-02-07", {"charter-decision-date"}),
        (4, "2027-02-23", {"charter-decision-date"}),
        (8, "2027-03-08", set()),
        (8, "2027-03-22", set()),
        (9, "2027-03-15", {"charter-weeks"}),
    ],
)
def test_weeks_and_decision_date_have_bounds(weeks: int, decision: str, red: set[str], tmp_path: Path) -> None:
    said = wrong(tmp_path, ("weeks: 6", f"weeks: {weeks}"), ("2027-03-01", decision))
    assert {one.split()[0] for one in said} == red


@pytest.mark.parametrize("entry", ["", "TBD", "risk", "..."])
def test_a_risk_is_a_sentence(entry: str, tmp_path: Path) -> None:
    old = '["an urgent ticket waits in the wrong queue: the shift lead looks at noon"]'
    [said] = wrong(tmp_path, (old, f'["{entry}"]'))
    assert said.startswith("charter-risks")


@pytest.mark.parametrize("use", ["high_risk", "prohibited"])
def test_a_use_of_high_risk_is_stopped_without_a_claim_about_the_law(use: str, tmp_path: Path) -> None:
    [said] = wrong(tmp_path, ("use: ordinary", f"use: {use}"))
    assert "not one for a pilot" in said
    assert "a lawyer may see it otherwise" in said


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ([("automated_decision: no", "automated_decision: yes"), ("log_days: 200", "log_days: 182")], ["log_days"]),
        ([("regulated: no", "regulated: yes"), ("log_days: 200", "log_days:")], ["log_days"]),
        ([("regulated: no", "regulated: yes"), ("log_days: 200", "log_days: 183")], []),
        ([("oversight: the shift lead moves a ticket back by hand", "oversight:")], ["oversight"]),
        ([("impact_note: a delayed answer, put right by the shift lead", "impact_note: TODO")], ["impact_note"]),
        (
            [
                ("people_affected: yes\npersonal_data: yes", "people_affected: no\npersonal_data: no"),
                ("oversight: the shift lead moves a ticket back by hand", "oversight:"),
                ("impact_note: a delayed answer, put right by the shift lead", "impact_note:"),
                ("log_days: 200", "log_days:"),
            ],
            [],
        ),
    ],
)
def test_what_is_at_stake_asks_for_safeguards(changes: list[tuple[str, str]], needs: list[str], tmp_path: Path) -> None:
    said = wrong(tmp_path, *changes)
    assert [one.split(": ")[1] for one in said] == needs
    assert all(one.startswith("charter-safeguards") for one in said)


@pytest.mark.parametrize("title", ["Problem", "Target", "Baseline", "Timeline", "Team", "Risks", "When we stop"])
def test_each_section_must_be_there_once_and_say_something(title: str, tmp_path: Path) -> None:
    heading = f"## {title}\n"
    assert any("charter-sections" in one for one in wrong(tmp_path, (heading, "## Else\n")))
    write(tmp_path)
    body = CHARTER.split(heading)[1].split("\n## ")[0]
    said = wrong(tmp_path, (heading + body, f"{heading}\n<!-- hints do not count as words -->\nTODO\n"))
    assert any("charter-sections" in one and "is empty" in one for one in said)
    assert any(
        "is there 2 times" in one for one in wrong(tmp_path, (heading, f"{heading}\nSome words of ours.\n\n{heading}"))
    )


def test_the_page_counts_words_with_the_facts_in_place(tmp_path: Path) -> None:
    written = len(write(tmp_path).joinpath("phases/1-scope/charter.md").read_text().split("---\n")[2].split())
    whole = len(charter_rules.page(charter_rules.read(tmp_path)).split())
    assert whole > written
    room = 600 - whole
    assert wrong(tmp_path, ("## Baseline\n", "## Baseline\n" + "word " * room)) == []
    [said] = wrong(tmp_path, ("## Baseline\n", "## Baseline\n" + "word " * (room + 1)))
    assert "charter-page" in said
    assert "601 words" in said


@pytest.mark.parametrize(
    ("was", "is_now", "says"),
    [
        ("The {target}. Customers", "It gets much better. Customers", "does not name the fact {target}"),
        ("for {weeks} weeks", "for 7 weeks", "holds '7'"),
        ("for {weeks} weeks", "for {weeks} weeks, or seven", "holds 'seven'"),
        ("decide by {decision_by}.\n", "decide by {decision_by}, at the end of 2027-04.\n", "holds '2027-04'"),
        ("# Charter: {pilot}", "# Charter: {pilot}\n\nTo 8 hours in 5 weeks!", "the top of the page holds '8'"),
        ("## Risks", "## Summary\n\nThe target is 95 %.\n\n## Risks", "the section 'Summary' holds '95'"),
        ("{owner} owns it", "{owner} owns it, mail bob@example.org", "holds a mail address"),
        ("{owner} owns it", "{owner} owns it with {ownr}", "there is no fact {ownr}. Did you mean {owner}?"),
    ],
)
def test_the_prose_cannot_tell_another_fact_than_the_front_matter(
    was: str, is_now: str, says: str, tmp_path: Path
) -> None:
    said = wrong(tmp_path, (was, is_now))
    assert any(says in one and one.startswith("charter-agreement") for one in said)


def test_the_page_shows_the_facts_in_place(tmp_path: Path) -> None:
    page = charter_rules.page(charter_rules.read(write(tmp_path)))
    assert "# Charter: Ticket triage" in page
    assert "The cycle time goes down to 9.0 hours for all tickets in English" in page
    assert "over at least 300 judged items" in page
    assert "Ada Byron <ada@example.org> owns it" in page
    assert "{" not in page


@pytest.mark.parametrize("text", [None, "", "  ", "TODO", "tbd", "n/a", "-", "?", "<name>", "to be decided", "..."])
def test_a_placeholder_says_nothing(text: str | None) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["40000", "the board of May", "fewer than 5", "a < b", "Nona"])
def test_what_merely_looks_like_a_placeholder_says_something(text: str) -> None:
    assert not is_placeholder(text)


@pytest.mark.parametrize(
    ("metric", "unit", "said"),
    [
        ("accuracy:sum", "share", "metric: there is no field sum. The fields of Prediction are: supplier, total"),
        ("absolute_error:supplier", "letters", "supplier is no number"),
        ("within:currency", "share", "nothing says how near currency must be"),
        ("edit_similarity", "share", "edit_similarity is about drafts, and no field is one"),
        ("within:total", "share", None),
        ("absolute_error:total", "EUR", None),
        ("f1:positions", "share", None),
    ],
)
def test_a_metric_of_fields_names_one_that_there_is(metric: str, unit: str, said: str | None, tmp_path: Path) -> None:
    up = "down" if metric.startswith("absolute") else "up"
    changes = (
        ("metric: cycle_time", f"metric: {metric}"),
        ("unit: hours", f"unit: {unit}"),
        ("target: 9", "target: 0.9"),
    )
    assert wrong(tmp_path, *changes, ("direction: down", f"direction: {up}")) == []
    found = [str(one) for one in charter_rules.unknown_fields(charter_rules.read(tmp_path), Prediction)]
    assert (found == []) if said is None else (len(found) == 1 and said in found[0])
