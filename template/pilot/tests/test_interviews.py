"""Conversations with users: one file each, and only what was said counts."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_papers import edit, write
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from pilot.charter import LEAST_INTERVIEWS
from pilot.cli import app
from pilot.contract import PilotError
from pilot.workbench.documents import files, interviews
from pilot.workbench.documents.interviews import INTERVIEWS

TODAY = date(2027, 2, 20)
NOTES = "It puts billing tickets where they belong, so I start with the urgent ones."
ANSWERS = {
    "date": date(2027, 2, 10),
    "role": "second-level support",
    "helped": "partly",
    "problems": "hardware tickets need a second look",
    "again": "yes",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(root: Path, notes: str = NOTES, **answers: Any) -> Path:
    return interviews.add(root, {**ANSWERS, "notes": notes, **answers}, TODAY)


def test_a_conversation_is_a_file_of_its_own_that_counts(root: Path) -> None:
    file = add(root)
    assert file == root / INTERVIEWS / "2027-02-10-1.md"
    found = interviews.read(root, TODAY)
    [held] = found.held
    one = held.facts
    assert (one.date, one.role, one.helped, one.again) == (date(2027, 2, 10), "second-level support", "partly", "yes")
    assert (one.new_problems, interviews.notes_of(held.prose)) == ("hardware tickets need a second look", NOTES)
    assert (found.count, found.issues) == (1, [])


def test_no_file_is_ever_replaced(root: Path) -> None:
    files = {add(root, f"{NOTES} Number {number}.") for number in range(3)}
    assert sorted(file.name for file in files) == ["2027-02-10-1.md", "2027-02-10-2.md", "2027-02-10-3.md"]
    assert interviews.read(root, TODAY).count == 3


def test_the_summary_counts_answers_and_lists_new_problems(root: Path) -> None:
    add(root)
    add(root, "I no longer read each ticket twice.", helped="yes", problems="none", date=date(2027, 2, 3))
    add(root, "I had to open every ticket anyway.", helped="no", again="no", role="dispatcher")
    found = interviews.read(root, TODAY)
    assert [one.facts.date and one.facts.date.day for one in found.held] == [3, 10, 10]
    said = found.summary
    assert (said.count, said.helped, said.again) == (3, {"yes": 1, "no": 1, "partly": 1}, {"yes": 2, "no": 1})
    assert said.problems == (
        ("hardware tickets need a second look", "second-level support"),
        ("hardware tickets need a second look", "dispatcher"),
    )


def test_nobody_was_asked(root: Path) -> None:
    found = interviews.read(root)
    assert (found.count, found.issues, found.summary.problems) == (0, [], ())


BY_HAND = f"""\
---
date: 2027-02-10
role: second-level support
helped: partly
problems: hardware tickets need a second look
again: yes
---

{NOTES}
"""
HARMS = {
    "no date": ("date: 2027-02-10", "date:", ":2: date: is empty"),
    "a date to come": ("date: 2027-02-10", "date: 2027-02-21", ":2: date: is 2027-02-21, which is still to come"),
    "no role": ("role: second-level support", "role:", ":3: role: does not say what the person does"),
    "a placeholder for a role": ("role: second-level support", "role: TBD", ":3: role: does not say"),
    "an address for a role": ("role: second-level support", "role: ada@example.org", ":3: role: does not say"),
    "a lost answer": ("helped: partly\n", "", ":1: helped: is empty. Write yes, no or partly"),
    "not asked again": ("again: yes", "again:", ":6: again: is empty. Write yes or no"),
    "a score for a problem": ("problems: hardware tickets need a second look", "problems: 4/5", "a survey score"),
    "one word": (
        "problems: hardware tickets need a second look",
        "problems: hardware",
        "problems: says too little",
    ),
    "no notes": (NOTES, "", ":7: notes: is empty"),
    "a score for notes": (
        NOTES,
        "NPS: 9 out of 10",
        ":7: notes: is 'NPS: 9 out of 10': a survey score",
    ),
    "a percentage": (NOTES, "80 % (4 stars)", "a survey score"),
    "a placeholder for notes": (NOTES, "TODO: write this up later", "says too little, or holds a placeholder"),
    "a comment for notes": (NOTES, "<!-- What did the person say? -->", ":7: notes: is empty"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_was_not_said_does_not_count(harm: str, root: Path) -> None:
    file = root / INTERVIEWS / "2027-02-10-anna.md"
    file.parent.mkdir(parents=True)
    file.write_text(BY_HAND)
    assert interviews.read(root, TODAY).count == 1
    was, is_now, said = HARMS[harm]
    assert was in BY_HAND
    file.write_text(BY_HAND.replace(was, is_now))
    found = interviews.read(root, TODAY)
    assert (found.count, files.unreadable(root)) == (0, [])
    [problem] = found.issues
    assert said in str(problem)
    assert problem.file == "phases/3-decide/interviews/2027-02-10-anna.md"


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ("helped: partly", "helped: a bit", "2027-02-10-1.md:4: helped: "),
        ("date: 2027-02-10", "date: tuesday", ":2: date: "),
        (
            "date: 2027-02-10",
            "date: 0",
            ":2: date: Input should be a valid date such as",
        ),
        ("again: yes", "agian: yes", ":6: agian: is not known. Did you mean again?"),
        ("role: second-level support", "role: a: b", ":3: is not YAML"),
        ("---\ndate", "date", ":1: the facts must stand between two lines"),
    ],
)
def test_a_mistake_of_form_is_named_with_its_line_and_the_mend(was: str, is_now: str, said: str, root: Path) -> None:
    file = add(root)
    file.write_text(BY_HAND.replace(was, is_now, 1))
    found = interviews.read(root, TODAY)
    assert found.count == 0
    assert found.issues == files.unreadable(root)
    assert said in str(found.issues[0])


def test_a_copy_counts_once(root: Path) -> None:
    first = add(root)
    (first.parent / "copy.md").write_bytes(first.read_bytes().replace(b"2027-02-10", b"2027-02-12"))
    found = interviews.read(root, TODAY)
    assert found.count == 1
    assert "copy.md: repeats 2027-02-10-1.md." in str(found.issues[0])


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"notes": "8/10"}, "notes: is '8/10': a survey score is no conversation"),
        ({"notes": " "}, "notes: is empty"),
        ({"role": "n/a"}, "role: does not say what the person does"),
        ({"date": TODAY + timedelta(days=1)}, "date: is 2027-02-21, which is still to come"),
        ({"helped": "very"}, "helped: Input should be 'yes', 'no' or 'partly'. Write yes, no or partly"),
    ],
)
def test_what_would_not_count_is_not_written(answers: dict[str, Any], said: str, root: Path) -> None:
    with pytest.raises(PilotError, match=re.escape(said)):
        add(root, **answers)
    assert not (root / INTERVIEWS).exists()


@pytest.mark.parametrize(
    "text", ["8/10", "NPS 40", "4.5 stars", "9 out of 10", "80 %", "score: 7", "rated 3 of 5 points", "7"]
)
def test_a_score_is_seen(text: str) -> None:
    assert interviews.is_score(text)


@pytest.mark.parametrize("text", ["about 3 of my 10 tickets went astray", "out of the way", "points at the wrong row"])
def test_words_are_no_score(text: str) -> None:
    assert not interviews.is_score(text)


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@given(words, words)
@settings(max_examples=200, deadline=None)
def test_whatever_was_said_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, a: str, b: str) -> None:
    root = tmp_path_factory.mktemp("pilot")
    role, notes = f"clerk {a} x", f"She said: {b} and went on."
    try:
        interviews.add(root, {**ANSWERS, "role": role, "notes": notes}, TODAY)
    except PilotError:
        return
    [one] = interviews.read(root, TODAY).held
    assert one.facts.role == " ".join(role.split())


RUNNER = CliRunner()
WORDS = ("--role", "dispatcher", "--helped", "yes", "--problems", "none", "--again", "no", "--notes", NOTES)


def pilot(*words: str, input: str | None = None) -> Result:
    return RUNNER.invoke(app, ["interview", *words], input=input)


def test_a_script_gives_every_answer_as_an_option(root: Path) -> None:
    done = pilot("add", "--date", "2026-11-02", *WORDS)
    assert (done.exit_code, done.stdout) == (0, "wrote phases/3-decide/interviews/2026-11-02-1.md: commit it\n")
    assert f"the charter names no number, which means {LEAST_INTERVIEWS}." in pilot("list").stdout
    edit(root, "weeks: 6", "weeks: 6\ninterviews_min: 5")
    listed = pilot("list")
    assert listed.exit_code == 0
    assert listed.stdout.splitlines() == [
        "2026-11-02  dispatcher: helped yes, again no",
        "1 conversation counts; the charter asks for 5.",
        "  helped  yes 1, no 0, partly 0",
        "  again   yes 0, no 1",
        "  new     0 named a new problem",
    ]


def test_without_a_terminal_what_is_not_said_is_named(root: Path) -> None:
    done = pilot("add", "--role", "dispatcher")
    assert "Not said: helped, problems, again, notes. Give --helped" in str(done.exception)


def test_on_a_terminal_it_asks_until_it_understands(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilot.cli.documents._terminal", lambda: True)
    said = (
        "tuesday\n2026-11-02\ndispatcher\nvery\npartly\nit hides the sender\nyes\nThe sender is what I look at first.\n"
    )
    done = pilot("add", input=said)
    assert done.exit_code == 0, done.output
    for asked in ("When did you talk?", "No name", "Answer yes, no or partly.", "Write the day as 2027-02-10."):
        assert asked in done.stdout
    [one] = interviews.read(root).held
    assert (one.facts.date, one.facts.new_problems) == (date(2026, 11, 2), "it hides the sender")


def test_listing_what_does_not_count_fails_and_says_why(root: Path) -> None:
    add(root).write_text("no fences\n")
    listed = pilot("list")
    assert listed.exit_code == 1
    assert "2027-02-10-1.md:1: the facts must stand" in listed.stdout
