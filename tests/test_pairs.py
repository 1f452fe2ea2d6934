"""Every pair of answers is rendered: what goes wrong between two questions shows in some pair of their answers."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from helpers import QUESTIONS, TASKS, Render, choices, files, run
from test_pilots import ENVIRONMENT, UV
from test_questions import check_files

# Answers of each kind to the questions that take any text: none where that may be, a plain one, one hard to quote.
TEXTS: dict[str, list[str]] = {
    "pilot_name": ["Invoice check", 'Say "hi": it\'s {{ 7 * 7 }} #1 \\ ü'],
    "package_name": ["invoice_check", "a"],
    "problem": ["", "Invoices wait.", "\"Quotes\", 'more': {% raw %} # \\n ü"],
    "owner_name": ["", "Ada Byron", "Sinéad O'Connor"],
    "owner_email": ["", "o'neil+pilot@mail.example.co.uk"],
}

Answers = dict[str, Any]
Pair = frozenset[tuple[str, Any]]


def kinds(questions: dict[str, Any], tasks: Iterable[str] = TASKS) -> dict[str, list[Any]]:
    """The answers to each question that count as different: its choices for the tasks, or the kinds of text."""
    return {
        name: [*dict.fromkeys(answer for task in tasks for answer in choices(question, task).values())]
        if "choices" in question
        else TEXTS[name]
        for name, question in questions.items()
    }


def offered(task: str) -> list[Any]:
    """The metrics that a task is asked for."""
    return [*choices(QUESTIONS["metric"], task).values()]


def asked_together(pair: Pair) -> bool:
    """Whether both answers can be given to one pilot: a metric is offered by the task."""
    answers = dict(pair)
    return not {"task", "metric"} <= answers.keys() or answers["metric"] in offered(answers["task"])


def pairs(answers: Answers) -> set[Pair]:
    return {frozenset(pair) for pair in itertools.combinations(answers.items(), 2)}


def all_pairs(answers: dict[str, list[Any]]) -> set[Pair]:
    """Each answer to a question beside each answer to another."""
    return {
        frozenset({(one, first), (other, second)})
        for one, other in itertools.combinations(answers, 2)
        for first, second in itertools.product(answers[one], answers[other])
    }


def left(answers: dict[str, list[Any]], cases: Iterable[Answers]) -> set[Pair]:
    """The pairs that no case renders."""
    return {*filter(asked_together, all_pairs(answers))}.difference(*map(pairs, cases))


# A text is given by its place in TEXTS. Written down, so that a new question or choice is a decision: the test below
# names the pairs that it brings.
ROWS: list[tuple[Any, ...]] = [
    ("draft", 0, 0, 2, 0, 0, "accepted_unchanged", "build", False, "gitlab"),
    ("draft", 1, 1, 0, 1, 1, "edit_similarity", "buy", True, "github"),
    ("score", 1, 0, 1, 2, 0, "within:hours", "buy", False, "github"),
    ("extract", 0, 1, 1, 2, 1, "field_accuracy", "build", True, "gitlab"),
    ("classify", 1, 0, 2, 0, 1, "cost_per_item", "build", True, "github"),
    ("classify", 0, 1, 0, 1, 0, "manual_touches", "buy", False, "gitlab"),
    ("score", 0, 1, 2, 1, 1, "absolute_error:hours", "build", True, "gitlab"),
    ("extract", 0, 0, 0, 0, 0, "accuracy", "buy", True, "github"),
    ("extract", 1, 0, 2, 1, 1, "cycle_time", "buy", False, "gitlab"),
    ("score", 0, 1, 0, 0, 0, "cycle_time", "build", True, "github"),
    ("draft", 0, 1, 1, 1, 0, "cost_per_item", "buy", False, "gitlab"),
    ("classify", 1, 1, 1, 2, 1, "accuracy", "build", False, "gitlab"),
    ("draft", 1, 0, 2, 2, 1, "manual_touches", "build", True, "github"),
    ("draft", 0, 0, 1, 0, 0, "edit_similarity", "build", False, "gitlab"),
    ("score", 1, 0, 0, 2, 0, "absolute_error:hours", "buy", False, "github"),
    ("score", 0, 1, 2, 1, 1, "within:hours", "build", True, "gitlab"),
    ("extract", 1, 0, 0, 1, 0, "field_accuracy", "buy", False, "github"),
    ("draft", 1, 1, 1, 1, 1, "accepted_unchanged", "buy", True, "github"),
    ("score", 0, 0, 1, 0, 0, "manual_touches", "build", False, "gitlab"),
    ("draft", 1, 1, 1, 2, 1, "cycle_time", "build", True, "github"),
    ("extract", 0, 0, 0, 2, 1, "cost_per_item", "buy", True, "gitlab"),
    ("draft", 0, 1, 0, 2, 1, "accepted_unchanged", "build", True, "github"),
    ("score", 1, 1, 1, 0, 1, "absolute_error:hours", "buy", False, "github"),
    ("classify", 1, 1, 2, 1, 1, "accuracy", "buy", False, "gitlab"),
    ("score", 1, 1, 0, 0, 0, "within:hours", "buy", False, "gitlab"),
    ("draft", 1, 1, 2, 2, 1, "edit_similarity", "build", False, "github"),
    ("extract", 0, 1, 2, 0, 0, "field_accuracy", "buy", False, "gitlab"),
    ("extract", 1, 1, 1, 2, 0, "manual_touches", "buy", False, "github"),
    ("score", 1, 0, 0, 1, 1, "cost_per_item", "buy", True, "gitlab"),
    ("classify", 0, 0, 2, 2, 1, "cycle_time", "buy", False, "gitlab"),
]
CASES = [
    {name: TEXTS[name][answer] if name in TEXTS else answer for name, answer in zip(QUESTIONS, row, strict=True)}
    for row in ROWS
]


def test_no_pair_of_answers_is_left() -> None:
    assert left(kinds(QUESTIONS), CASES) == set()


def test_a_pair_that_nobody_renders_is_seen() -> None:
    assert left(kinds(QUESTIONS), CASES[1:]) != set()
    more = {**QUESTIONS["ci"], "choices": {**QUESTIONS["ci"]["choices"], "other": "other"}}
    assert left(kinds({**QUESTIONS, "ci": more}), CASES) == {
        frozenset({("ci", "other"), (name, answer)})
        for name, answers in kinds(QUESTIONS).items()
        for answer in answers
        if name != "ci"
    }


def name_of(answers: Answers) -> str:
    return " ".join(str(answer) for question, answer in answers.items() if question not in TEXTS)


@pytest.mark.parametrize("answers", CASES, ids=name_of)
def test_a_pair_renders_valid_clean_files(answers: Answers, render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path / "pilot", wrapper=False, **answers)
    check_files(pilot, answers)
    run(sys.executable, "-m", "ruff", "check", "--no-cache", cwd=pilot)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", cwd=pilot)


def test_but_for_the_name_of_the_package_code_differs_by_task_and_approach_alone(
    render: Render, tmp_path: Path
) -> None:
    """So that the checks of one pilot of each task and approach speak for all the others."""
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    for number, answers in enumerate(CASES):
        pilot = render(tmp_path / str(number), **{**answers, "package_name": "invoice_check"})
        code = {path: text for path, text in files(pilot).items() if path.endswith(".py")}
        assert found.setdefault((answers["task"], answers["approach"]), code) == code
    assert len({repr(code) for code in found.values()}) == 2 * len(TASKS)


@pytest.mark.parametrize("answers", [CASES[11], CASES[23]], ids=["build", "buy"])
def test_a_pilot_of_odd_answers_passes_its_checks_and_is_built(
    answers: Answers, render: Render, tmp_path: Path
) -> None:
    """Types and tests, as test_pilots sees them with the default answers, and the wheels."""
    pilot = render(tmp_path / "pilot", **answers)

    def uv(*words: str) -> str:
        return run(UV, *words, cwd=pilot, timeout=900, **ENVIRONMENT)

    uv("sync", "--quiet")
    uv("run", "mypy", "src", "tests")
    assert " passed" in uv("run", "pytest", "--quiet", "tests")
    uv("build", "--quiet", "--all-packages", "--wheel")
    wheels = {wheel.name.split("-")[0]: ZipFile(wheel).namelist() for wheel in (pilot / "dist").glob("*.whl")}
    assert f"{answers['package_name']}/schema.py" in wheels[answers["package_name"]]
    # All that a package needs at work is in it, not only its code.
    inside = {path.relative_to(pilot / "pilot/src").as_posix() for path in (pilot / "pilot/src").rglob("*.*")}
    assert {name for name in inside if "__pycache__" not in name} <= {*wheels["ai_pilot_wrapper"]}
