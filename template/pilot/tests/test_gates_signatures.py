"""Signatures and the chain of evidence."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from example_papers import ADA, edit, sign, write
from example_short import write_short

from pilot.contract import PilotError
from pilot.workbench import evidence, signatures
from pilot.workbench.documents import files, operations
from pilot.workbench.evidence import EVIDENCE

SUE = "Sue Sponsor <sue@example.org>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_a_signature_holds_the_text_its_hash_the_person_and_the_date(root: Path) -> None:
    file = sign(root)
    said = json.loads(file.read_text())
    text = (root / "phases/1-scope/charter.md").read_text()
    assert file.relative_to(root).as_posix() == "phases/evidence/0001-signature-charter-owner.json"
    assert {name: said[name] for name in ("name", "email", "role", "date", "text", "paper", "previous")} == {
        "name": "Ada Byron",
        "email": "ada@example.org",
        "role": "owner",
        "date": "2027-01-11",
        "text": text,
        "paper": "phases/1-scope/charter.md",
        "previous": None,
    }
    assert said["sha256"] == evidence.digest(text)


def test_each_file_carries_the_hash_of_the_one_before(root: Path) -> None:
    first, second = (json.loads(file.read_text()) for file in (sign(root), sign(root, SUE, "sponsor")))
    assert second["previous"] == first["hash"]
    assert evidence.read(root).problems == []


def test_a_new_signature_of_a_role_replaces_the_one_before(root: Path) -> None:
    sign(root)
    edit(root, "target: 9", "target: 8")
    [old] = signatures.latest(evidence.read(root)).values()
    assert [str(change)[:67] for change in signatures.changes(root, old)] == [
        "phases/1-scope/charter.md:8: 'target: 9' is now 'target: 8'; Ada By"
    ]
    sign(root, today=date(2027, 1, 12))
    [new] = signatures.latest(evidence.read(root)).values()
    assert (new.date, signatures.changes(root, new)) == (date(2027, 1, 12), [])


def test_line_ends_change_nothing_and_a_missing_paper_is_named(root: Path) -> None:
    sign(root)
    [signed] = signatures.latest(evidence.read(root)).values()
    file = root / "phases/1-scope/charter.md"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert signatures.changes(root, signed) == []
    file.unlink()
    assert "is gone" in signatures.changes(root, signed)[0].what


@pytest.mark.parametrize(
    ("person", "role", "says"),
    [
        ("Ada Byron", "owner", "Write it as 'Ada Byron <ada@example.org>'"),
        ("<ada@example.org>", "owner", "Write it as"),
        ("Bob Ray <bob@example.org>", "owner", "names Ada Byron <ada@example.org> as its owner"),
        (ADA, "", "is not a role"),
    ],
)
def test_who_may_not_sign_is_told_why(person: str, role: str, says: str, root: Path) -> None:
    with pytest.raises(PilotError, match=says):
        sign(root, person, role)
    assert not (root / EVIDENCE).exists()


def test_a_charter_that_does_not_hold_is_not_signed(root: Path) -> None:
    edit(root, "weeks: 6", "weeks: 9")
    with pytest.raises(PilotError, match=r"does not hold yet:\n  phases/1-scope/charter.md:13: weeks: 9"):
        sign(root)


@pytest.mark.parametrize("paper", ["chart", "/etc/passwd", "../x.md", "phases", "phases/evidence/x.json"])
def test_only_papers_below_phases_are_signed(paper: str, root: Path) -> None:
    (root / EVIDENCE).mkdir()
    (root / EVIDENCE / "x.json").write_text("{}")
    with pytest.raises(PilotError, match="There is no document"):
        sign(root, paper=paper)


def test_an_empty_paper_is_not_signed(root: Path) -> None:
    (root / "phases" / "note.md").write_text("<!-- write here -->\nTODO\n")
    with pytest.raises(PilotError, match="is empty"):
        sign(root, paper="phases/note.md")


def altered(file: Path) -> None:
    file.write_text(file.read_text().replace("Sponsor", "Sponger"))


def rewritten(file: Path) -> None:
    """Altered by somebody who also writes the hash anew."""
    content = json.loads(file.read_text())
    content["name"] = "Somebody Else"
    content["hash"] = evidence._hash(content)
    file.write_text(json.dumps(content))


def cut(file: Path) -> None:
    file.write_text("{")


def emptied(file: Path) -> None:
    file.write_text("[]")


@pytest.mark.parametrize("harm", [altered, rewritten, cut, emptied, Path.unlink])
def test_evidence_that_was_harmed_is_seen_and_no_more_is_added(harm: object, root: Path) -> None:
    sign(root)
    middle = sign(root, SUE, "sponsor")
    sign(root, "Lea Legal <lea@example.org>", "legal")
    assert evidence.read(root).problems == []
    harm(middle)  # type: ignore[operator]
    assert evidence.read(root).problems != []
    with pytest.raises(PilotError, match="must be fixed first"):
        sign(root)


def test_a_file_that_was_slipped_in_is_seen(root: Path) -> None:
    first = sign(root)
    (root / EVIDENCE / "0001-signature-copy.json").write_bytes(first.read_bytes())
    [problem] = evidence.read(root).problems
    assert "Where two branches added files at once" in problem.fix


def test_a_clock_that_runs_backwards_signs_nothing(root: Path) -> None:
    sign(root)
    with pytest.raises(PilotError, match="Set the clock"):
        sign(root, SUE, "sponsor", date(2027, 1, 10))


GRACE = "Grace Hopper <grace@example.org>"
LEA = "Lea Lock <lea@example.org>"
LATER = date(2027, 4, 12)


def test_both_sides_sign_the_handoff_and_without_one_it_is_not_signed(root: Path) -> None:
    file = write_short(root, "handoff")
    sides = (ADA, "owner"), (GRACE, "receiving_owner")
    signed = [sign(root, person, role, LATER, "handoff") for person, role in sides]
    paper = file.relative_to(root).as_posix()
    found = signatures.latest(evidence.read(root))
    assert {role: found[paper, role].facts["name"] for _, role in sides} == {
        "owner": "Ada Byron",
        "receiving_owner": "Grace Hopper",
    }
    assert signatures.of_document(root, "handoff", evidence.read(root)) == []
    signed[1].unlink()
    [problem] = signatures.of_document(root, "handoff", evidence.read(root))
    assert (problem.rule, problem.what) == ("handoff-signed", "is not signed by its receiving owner.")
    assert problem.fix.endswith('pilot sign handoff --as "Grace Hopper <grace@example.org>" --role "receiving_owner"')


def test_a_handoff_that_changed_or_whose_receiver_did_is_not_signed(root: Path) -> None:
    file = write_short(root, "handoff").relative_to(root)
    for person, role in ((ADA, "owner"), (GRACE, "receiving owner")):
        sign(root, person, role, LATER, "handoff")
    edit(root, "runs: {before: Ada Byron", "runs: {before: Bob Ray", file)
    said = [str(problem) for problem in signatures.of_document(root, "handoff", evidence.read(root))]
    assert len(said) == 2
    assert all(f"{file}:4: 'runs: {{before: Ada Byron, after: Grace Hopper}}' is now" in one for one in said)
    edit(root, "runs: {before: Bob Ray", "runs: {before: Ada Byron", file)
    edit(root, "name: Grace Hopper", "name: Alan Kay")
    [problem] = signatures.of_document(root, "handoff", evidence.read(root))
    assert "was signed as receiving owner by Grace Hopper" in problem.what


@pytest.mark.parametrize(
    ("paper", "person", "role", "says"),
    [
        ("handoff", ADA, "receiving_owner", "name Grace Hopper <grace@example.org> as the receiving_owner"),
        ("handoff", ADA, "Receiving Owner", "name Grace Hopper <grace@example.org> as the receiving_owner"),
        ("handoff", "Grace Hopper <g@example.org>", "receiving-owner", "not Grace Hopper <g@example.org>"),
        ("handoff", GRACE, "owner", "name Ada Byron <ada@example.org> as the owner"),
        ("playbook", ADA, "owner", "name Grace Hopper <grace@example.org> as the owner"),
        ("security-review", ADA, "reviewer", "name Lea Lock <lea@example.org> as the reviewer"),
    ],
)
def test_whom_the_papers_do_not_name_signs_in_no_such_role(
    paper: str, person: str, role: str, says: str, root: Path
) -> None:
    write_short(root, paper)
    with pytest.raises(PilotError, match=says):
        sign(root, person, role, LATER, paper)
    assert not (root / EVIDENCE).exists()


@pytest.mark.parametrize(
    ("paper", "person", "role"), [("playbook", GRACE, "owner"), ("security-review", LEA, "reviewer")]
)
def test_a_short_paper_is_signed_by_its_name_and_in_free_roles(paper: str, person: str, role: str, root: Path) -> None:
    write_short(root, paper)
    assert sign(root, person, role, LATER, paper).name == f"0001-signature-{paper}-{role}.json"
    assert sign(root, SUE, "sponsor", LATER, f"phases/4-harden/{paper}.md").name.startswith("0002")
    assert signatures.of_document(root, paper, evidence.read(root)) == []


@pytest.mark.parametrize("paper", operations.DOCUMENTS)
def test_a_short_paper_that_is_missing_blank_or_lacks_one_fact_is_not_signed(paper: str, root: Path) -> None:
    with pytest.raises(PilotError, match=f"is not there. Add it: `pilot paper add {paper}.md`"):
        sign(root, SUE, "sponsor", LATER, paper)
    files.add(root, paper)
    with pytest.raises(PilotError, match="is not complete yet"):
        sign(root, SUE, "sponsor", LATER, paper)
    file = write_short(root, paper)
    text = file.read_text()
    own = next(iter(operations.DOCUMENTS[paper].form().parts))
    file.write_text(text.replace(f"## {own}", "## Something else"))
    with pytest.raises(PilotError, match=f"is not complete yet:\n.*there is no section '{own}'"):
        sign(root, SUE, "sponsor", LATER, f"phases/{file.parent.name}/{file.name}")
    assert not (root / EVIDENCE).exists()
    file.write_text(text)
    sign(root, SUE, "sponsor", LATER, paper)


def test_what_is_attested_for_a_later_day_is_not_signed(root: Path) -> None:
    write_short(root, "security-review")
    with pytest.raises(PilotError, match="2027-03-15 is not yet"):
        sign(root, LEA, "reviewer", date(2027, 3, 14), "security-review")
