"""The short papers: none complete untouched, each complete when filled, and each lack named where it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_papers import edit, write
from example_short import FACTS, text, write_short
from pydantic import BaseModel
from typer.testing import CliRunner, Result

import schemas
from pilot.cli import app
from pilot.contract import PilotError
from pilot.frontmatter import models_of
from pilot.workbench.documents import files, operations
from pilot.workbench.documents.model import required

NAMES = list(operations.DOCUMENTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot whose short papers are filled."""
    for name in NAMES:
        write_short(tmp_path, name)
    return write(tmp_path)


def said(root: Path, name: str, today: date | None = None) -> list[str]:
    return [str(problem) for problem in operations.issues(root, name, today)]


@pytest.mark.parametrize("name", NAMES)
def test_a_filled_paper_is_complete_and_its_page_shows_no_guidance(name: str, root: Path) -> None:
    assert said(root, name, date(2027, 4, 12)) == []
    page = operations.read(root, name).page
    assert [part for part in ("{", "<!--", "?", "pilot sign") if part in page] == []
    assert "Ticket triage" in page.split("\n")[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_paper_is_readable_and_never_complete(name: str, tmp_path: Path) -> None:
    root = write(tmp_path)
    files.add(root, name)
    assert files.unreadable(root) == []
    kind = operations.DOCUMENTS[name]
    found = operations.issues(root, name)
    assert {problem.file for problem in found} == {kind.file.as_posix()}
    lines = (root / kind.file).read_text(encoding="utf-8").split("\n")
    for field, info in kind.model_fields.items():
        mine = [problem for problem in found if problem.what.partition(":")[0].split(".")[0] == field]
        assert bool(mine) == bool(required(info) or models_of(info.annotation)), f"{field} is not named"
        for problem in mine:
            key = problem.what.partition(":")[0].split(".")[-1]
            assert problem.line
            assert f"{key}:" in lines[problem.line - 1]
    needed = [title for title, part in kind.form().parts.items() if part.own_words]
    for title in needed:
        assert any(f"the section {title!r} is empty" in problem.what for problem in found)
    assert not [problem for problem in found if "does not name" in problem.what or "may disagree" in problem.what]


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_paper_holds_each_fact_and_its_page_names_each(name: str) -> None:
    kind = operations.DOCUMENTS[name]
    blank = (operations.BLANK / kind.file.relative_to("phases")).read_text(encoding="utf-8")
    assert set(yaml.safe_load(blank.split("---\n")[1])) == set(kind.model_fields)
    assert {fact for part in kind.form().parts.values() for fact in part.names} == set(kind.model_fields)


Place = tuple[str | int, ...]


def places(model: type[BaseModel], data: Any, place: Place = ()) -> Iterator[Place]:
    """Each fact of a model and of its parts, as it stands in a filled paper; of a list, the first entry's."""
    for name, field in model.model_fields.items():
        here = (*place, name)
        if name not in data:
            assert not required(field), f"{here} is not in the example"
            continue
        yield here
        parts = models_of(field.annotation)
        if parts:
            inner = data[name][0] if isinstance(data[name], list) else data[name]
            yield from places(parts[0], inner, (*here, 0) if isinstance(data[name], list) else here)
        elif isinstance(data[name], list) and data[name]:
            yield (*here, 0)


def filled(name: str) -> Any:
    return yaml.load(FACTS[name], yaml.BaseLoader)


def value_at(data: Any, place: Place) -> Any:
    for part in place:
        data = data[part]
    return data


def put(root: Path, name: str, data: Any) -> list[str]:
    """Writes the paper with these facts; gives the lines of the file."""
    dumped = yaml.safe_dump(data, sort_keys=False, default_flow_style=False, width=1000)
    changed = text(name).replace(FACTS[name], dumped)
    (root / operations.DOCUMENTS[name].file).write_text(changed, encoding="utf-8")
    return changed.split("\n")


EACH = [
    pytest.param(name, place, id=f"{name}:{'.'.join(map(str, place))}")
    for name in NAMES
    for place in places(operations.DOCUMENTS[name], filled(name))
    if place != ("open_points",)
]
KEYS = [each for each in EACH if isinstance(each.values[1][-1], str)]
TEXTS = [each for each in EACH if isinstance(value_at(filled(each.values[0]), each.values[1]), str)]
# What is no text: YAML takes no word for it.
NUMBERS = {"answer_minutes", "after_minutes", "day", "starts", "chosen", "state"}
NUMBERS |= {"records_kept_until", "rollback_minutes", "rpo_minutes", "rto_minutes", "handed_over_on", "decide_by"}


def named(root: Path, name: str, place: Place) -> list[int | None]:
    """The lines at which the fact, or what is below it, is named."""
    words = ".".join(map(str, place))
    found = ((problem.what.partition(": ")[0], problem.line) for problem in operations.issues(root, name))
    return [line for where, line in found if where == words or where.startswith(f"{words}.")]


@pytest.mark.parametrize(("name", "place"), EACH)
def test_each_fact_that_is_emptied_is_named_with_its_line(name: str, place: Place, root: Path) -> None:
    data = filled(name)
    value, holder = value_at(data, place), value_at(data, place[:-1])
    holder[place[-1]] = "is it here"
    [line] = [number for number, line in enumerate(put(root, name, data), 1) if "is it here" in line]
    holder[place[-1]] = [] if isinstance(value, list) else None if isinstance(place[-1], str) else ""
    put(root, name, data)
    assert set(named(root, name, place)) == {line}


@pytest.mark.parametrize(("name", "place"), KEYS)
def test_each_fact_that_is_taken_out_is_named(name: str, place: Place, root: Path) -> None:
    data = filled(name)
    del value_at(data, place[:-1])[place[-1]]
    put(root, name, data)
    assert named(root, name, place)


@pytest.mark.parametrize(("name", "place"), [each for each in TEXTS if each.values[1][-1] not in NUMBERS])
def test_a_placeholder_is_no_fact(name: str, place: Place, root: Path) -> None:
    data = filled(name)
    value_at(data, place[:-1])[place[-1]] = "TBD"
    put(root, name, data)
    assert named(root, name, place)


@pytest.mark.parametrize(("name", "place"), [each for each in TEXTS if each.values[1][-1] in NUMBERS])
def test_a_word_for_a_number_or_a_day_is_told_with_its_line(name: str, place: Place, root: Path) -> None:
    data = filled(name)
    value_at(data, place[:-1])[place[-1]] = "is it here"
    [line] = [number for number, line in enumerate(put(root, name, data), 1) if "is it here" in line]
    [problem] = files.unreadable(root)
    assert problem.file == operations.DOCUMENTS[name].file.as_posix()
    assert problem.line == line
    assert problem.what.startswith(f"{'.'.join(map(str, place))}: ")
    assert said(root, name) == [str(problem)]
    with pytest.raises(PilotError, match=f":{line}: "):
        operations.read(root, name)


# Mistakes by hand: what was there, what is there now, and what is said of it.
HARMS = {
    "one person is no rotation": (
        "playbook",
        "  - {name: Alan Kay, reach: +49 30 7654321}\n",
        "",
        ":3: rotation: has 1 of the 2",
    ),
    "twice the same is no rotation": (
        "playbook",
        "name: Alan Kay",
        "name: grace hopper",
        ":5: rotation.1.name: 'grace hopper' is there tw",
    ),
    "a team on call": (
        "playbook",
        "name: Alan Kay",
        "name: the support team",
        ":5: rotation.1.name: 'the support team' is not one",
    ),
    "a list that pays": (
        "playbook",
        "ines@example.org",
        "team@example.org",
        ":24: cost_owner.email: 'team@example.org' is not one",
    ),
    "steps out of order": (
        "playbook",
        "after_minutes: 15",
        "after_minutes: 0",
        ":13: escalation.1.after_minutes: 0 is not later",
    ),
    "a level twice": ("playbook", "level: 2", "level: 1", ":10: severities.1.level: '1' is there twice"),
    "back before it fell": (
        "playbook",
        "rto_minutes: 60",
        "rto_minutes: 0",
        ":20: rto_minutes: Input should be greater than 0",
    ),
    "a fact misspelt": (
        "playbook",
        "rollback_by:",
        "rollback_bye:",
        ":18: rollback_bye: is not known. Did you mean rollback_by?",
    ),
    "a fact twice": (
        "playbook",
        "rpo_minutes: 0\n",
        "rpo_minutes: 0\nrpo_minutes: 5\n",
        ":20: is not YAML (rpo_minutes is there twice)",
    ),
    "a colon in a text": ("playbook", "rollback_by: who", "rollback_by: now: who", ":18: is not YAML"),
    "no fence": ("playbook", "---\nowner", "owner", ":1: the facts must stand between"),
    "a section lost": ("playbook", "## Restore", "## Backup", "there is no section 'Restore'"),
    "a number of its own": (
        "playbook",
        "within {rto_minutes} minutes",
        "within 90 minutes",
        ":65: the section 'Restore' holds '90'",
    ),
    "a fact that is not named": (
        "playbook",
        "within {rto_minutes} minutes",
        "soon",
        ":63: the section 'Restore' does not name",
    ),
    "a name that is no fact": (
        "playbook",
        "{rto_minutes}",
        "{rto_minute}",
        ":65: there is no fact {rto_minute}. Did you mean {rto_minutes}?",
    ),
    "an address in the prose": (
        "playbook",
        "Roll back when",
        "Ask bob@example.org, roll back when",
        ":61: holds a mail address",
    ),
    "no page": ("user-guide", "A program makes", "word " * 600 + "A program makes", "and 600 fit on one"),
    "a finding that is open": ("security-review", "state: mended", "state: open", ":6: areas.secrets.state: is open"),
    "a risk that nobody bears": (
        "security-review",
        ", accepted_by: Sue Sponsor",
        "",
        ":10: areas.dependencies.accepted_by: is empty",
    ),
    "a risk that a team bears": (
        "security-review",
        "accepted_by: Sue Sponsor",
        "accepted_by: the board",
        ":10: areas.dependencies.accepted_by: 'the b",
    ),
    "a state of its own": (
        "security-review",
        "state: mended",
        "state: fine",
        ":6: areas.secrets.state: Input should be",
    ),
    "owners who review": (
        "security-review",
        "by: Lea Lock",
        "by: Ada Byron",
        ":13: reviewed.by: Ada Byron is the owner of the pilot",
    ),
    "the receiver gets nothing": (
        "handoff",
        "after: Grace Hopper",
        "after: Alan Kay",
        ":3: responsibilities: Grace Hopper, the receiving owner",
    ),
    "a team that runs it": (
        "handoff",
        "runs: {before: Ada Byron",
        "runs: {before: ML Squad",
        ":4: responsibilities.runs.before: 'ML Squad' is not one",
    ),
    "a point without words": (
        "handoff",
        "open_points: []",
        "open_points: [tests]",
        ":9: open_points.0: is empty, a placeholder, or shorter",
    ),
    "told too late": (
        "process-changes",
        "day: 2027-03-29",
        "day: 2027-04-13",
        ":7: changes.0.told.day: 2027-04-13 is after the change began",
    ),
    "no such day": (
        "process-changes",
        "starts: 2027-04-12",
        "starts: 2027-02-30",
        ":6: changes.0.starts: Input should be a valid date",
    ),
    "two chosen": ("next-iteration", "chosen: no", "chosen: yes", ":4: options: 2 are chosen"),
    "none chosen": ("next-iteration", "chosen: yes", "chosen: no", ":4: options: 0 are chosen"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_mistake_by_hand_is_named_where_it_is(harm: str, root: Path) -> None:
    name, was, is_now, says = HARMS[harm]
    edit(root, was, is_now, operations.DOCUMENTS[name].file)
    found = said(root, name)
    assert any(says in one for one in found), found


def test_a_handoff_in_which_nothing_changes_hands_is_none(root: Path) -> None:
    data = filled("handoff")
    for duty in data["responsibilities"].values():
        duty["before"] = duty["after"]
    put(root, "handoff", data)
    assert said(root, "handoff") == [
        "phases/4-harden/handoff.md:3: responsibilities: nothing changes hands. Name who does it afterwards; where "
        "everything stays, there is no handoff."
    ]


def test_an_attestation_of_a_later_day_is_none(root: Path) -> None:
    assert said(root, "playbook", date(2027, 3, 1)) == []
    [late] = said(root, "playbook", date(2027, 2, 28))
    assert "playbook.md:7: rotation_told.day: 2027-03-01 is not yet" in late


def test_a_telephone_number_stays_as_it_was_written(root: Path) -> None:
    """YAML reads 0301234567 as an octal number, and 18:30 as 1110."""
    edit(root, "reach: the pager", "reach: 18:30", operations.DOCUMENTS["playbook"].file)
    page = operations.read(root, "playbook").page
    assert "| Grace Hopper | 0301234567 |" in page
    assert "| 0 | who is on call | 18:30 |" in page


def test_a_page_shows_tables_lists_attestations_and_facts_of_the_charter(root: Path) -> None:
    pages = {name: operations.read(root, name).page for name in NAMES}
    assert "# Playbook: Ticket triage" in pages["playbook"]
    assert "Grace Hopper <grace@example.org> answers for the service" in pages["playbook"]
    assert "they are on call (attested by Grace Hopper on 2027-03-01)" in pages["playbook"]
    assert "|  | Before | After |\n| --- | --- | --- |\n| Runs | Ada Byron | Grace Hopper |" in pages["handoff"]
    assert pages["handoff"].endswith("Nothing.")
    assert (
        "| Dependencies | accepted | one library has a fault that we do not reach | Sue Sponsor |"
        in pages["security-review"]
    )
    assert "- does not read attachments\n- is often wrong about refunds" in pages["user-guide"]
    edit(root, "{pilot}", "{target}", operations.DOCUMENTS["user-guide"].file)
    assert "# User guide: cycle time goes down to 9.0 hours" in operations.read(root, "user-guide").page


def test_braces_within_a_fact_name_no_other(root: Path) -> None:
    edit(root, "reach: the pager", 'reach: "the pager {pilot}"', operations.DOCUMENTS["playbook"].file)
    edit(root, "rollback_by: who is on call", "rollback_by: whoever {owner}", operations.DOCUMENTS["playbook"].file)
    page = operations.read(root, "playbook").page
    assert "| 0 | who is on call | the pager {pilot} |" in page
    assert "Ordered by whoever {owner}, without" in page


def test_a_pipe_in_a_fact_breaks_no_table(root: Path) -> None:
    edit(root, "reach: the pager", "reach: page | call", operations.DOCUMENTS["playbook"].file)
    assert "| 0 | who is on call | page \\| call |" in operations.read(root, "playbook").page


def test_a_charter_that_cannot_be_read_hides_no_playbook(root: Path) -> None:
    (root / "phases/1-scope/charter.md").write_text("no facts")
    assert said(root, "playbook") == []
    assert operations.read(root, "playbook").page.startswith("# Playbook: ?")


def test_an_alias_that_leads_back_to_itself_is_a_message(root: Path) -> None:
    edit(root, "open_points: []", "open_points: &a [*a]", operations.DOCUMENTS["handoff"].file)
    assert "Input should be" in said(root, "handoff")[0]


def test_a_name_that_is_no_short_paper_lists_those_there_are(root: Path) -> None:
    with pytest.raises(
        PilotError, match=r"There is no operations document 'charter'\. Name one of: process-changes, closing"
    ):
        operations.issues(root, "charter")


def pilot(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_paper_show_prints_the_page_alone_and_tells_what_is_missing_beside_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    edit(
        root,
        "told: {by: Tom Reed, day: 2027-03-29}",
        "told: {by: , day: 2026-01-02}",
        operations.DOCUMENTS["process-changes"].file,
    )
    done = pilot("paper", "show", "user-guide")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == operations.read(root, "user-guide").page + "\n"
    lacking = pilot("paper", "show", "process-changes")
    assert lacking.exit_code == 1
    assert lacking.stdout.startswith("# What changes in the work: Ticket triage\n")
    assert lacking.stderr.endswith(
        "process-changes.md:7: changes.0.told.by: is empty. Write the name of one person.\n1 to fix\n"
    )


def test_paper_status_has_a_line_for_each_with_missing_signatures(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    edit(root, "day: 2027-03-01", "day: 2026-01-02", operations.DOCUMENTS["playbook"].file)
    edit(root, "version: 0.3.1\n", "version:\n", operations.DOCUMENTS["security-review"].file)
    (root / operations.DOCUMENTS["next-iteration"].file).unlink()
    lines = dict(line.split(maxsplit=1) for line in pilot("paper", "status").stdout.splitlines())
    assert list(lines) == NAMES
    assert lines["playbook"] == "complete; rotation_told attested by Grace Hopper; is not signed by its owner"
    assert lines["handoff"] == "complete; is not signed by its owner; is not signed by its receiving owner"
    assert lines["security-review"].startswith("phases/4-harden/security-review.md:2: version: is empty")
    assert lines["next-iteration"].endswith("is not there. Add it: `pilot paper add next-iteration.md`.")


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_for_editors_names_the_facts_with_their_meaning(name: str) -> None:
    schema = schemas.schemas()[name]
    assert set(schema["properties"]) == set(operations.DOCUMENTS[name].model_fields)
    assert "description" in str(schema["properties"])
