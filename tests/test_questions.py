"""Each question explains itself, has a default, and refuses what would not render, with the mend."""

from __future__ import annotations

import csv
import itertools
import keyword
import re
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import FULL, QUESTIONS, ROOT, TASKS, Render, choices, files, run


def test_there_are_ten_questions() -> None:
    assert list(QUESTIONS) == [
        "task",
        "pilot_name",
        "package_name",
        "problem",
        "owner_name",
        "owner_email",
        "metric",
        "approach",
        "regulated",
        "ci",
    ]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_says_what_its_answer_changes_and_has_a_default(name: str) -> None:
    question = QUESTIONS[name]
    assert re.search(r"\?.* (\w+ ){3,}", question["help"], re.DOTALL), "a question, then what the answer changes"
    assert "default" in question
    assert "validator" in question or "choices" in question


@pytest.fixture(scope="module")
def render(render: Render) -> Render:
    """Renders without the wrapper: no answer changes a file of it."""
    return partial(render, wrapper=False)


def check_files(pilot: Path, answers: dict[str, Any]) -> None:
    """Every rendered file parses, and what the answers say comes out of it again."""
    project = tomllib.loads((pilot / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    facts = yaml.safe_load((pilot / "phases/1-scope/charter.md").read_text(encoding="utf-8").split("---\n")[1])
    recorded = yaml.safe_load((pilot / ".copier-answers.yml").read_text(encoding="utf-8"))
    for name, value in answers.items():
        assert recorded[name] == value
    name = answers.get("pilot_name", "Ticket triage")
    assert facts["pilot"] == name
    assert project["description"] == (answers.get("problem") or recorded["problem"] or name)
    assert (facts["owner"]["name"] or "") == answers.get("owner_name", "")
    assert (facts["owner"]["email"] or "") == answers.get("owner_email", "")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project["name"])
    for path, content in files(pilot).items():
        text = content.decode("utf-8")
        if path.endswith(".py"):
            compile(text, path, "exec")
        elif path.endswith(".toml"):
            tomllib.loads(text)
        elif path.endswith((".yaml", ".yml")):
            list(yaml.safe_load_all(text))
        elif path.endswith(".csv"):
            assert list(csv.reader(text.splitlines()))
        assert not path.startswith("..")


HOSTILE = [
    'Say "hi"',
    "It's all 'fine'",
    "back\\slash \\n \\u12",
    "Prüfung der Anträge №1",
    "票据分类",
    "🚀 launch",
    "2nd line support",
    "# not a comment: [x] {y} & *z* | > !t % @ `q`",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} {# c #}",
    "--- no: front matter ---",
    "../../etc/passwd",
    "$(touch x) `touch y`; rm -rf /",
    "a ]] ''' \"\"\"",
    "yes",
    "null",
    "1e3",
    "~x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_renders_valid_files(text: str, render: Render, tmp_path: Path) -> None:
    answers = {"pilot_name": text, "problem": text}
    check_files(render(tmp_path / "pilot", **answers), answers)
    assert {path.name for path in tmp_path.iterdir()} == {"pilot"}


@pytest.mark.parametrize(
    "text", ["", " ", "two\nlines", "a\tb", "a\x00b", "a\x7fb", "a\u2028b", " led", "x" * 61, "..", "?!", "~", "🚀"]
)
def test_what_cannot_name_a_pilot_is_refused_with_the_mend(text: str, render: Render, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'pilot_name': The name .*(Shorten|Remove|Give)"):
        render(tmp_path, pilot_name=text)


@pytest.mark.parametrize(
    ("pilot_name", "package"),
    [
        ("Ticket triage", "ticket_triage"),
        ("2nd line support", "pilot_2nd_line_support"),
        ("票据分类", "pilot_code"),
        ("  Mails -- and __letters".strip(), "mails_and_letters"),
        ("An extraordinarily long name for a pilot, of sixty letters", "an_extraordinarily_long_name_for_a_pilot"),
    ],
)
def test_the_package_is_named_after_the_pilot(pilot_name: str, package: str, render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path, pilot_name=pilot_name)
    assert (pilot / "src" / package / "schema.py").is_file()


def test_a_pilot_named_after_a_module_asks_for_another_package(render: Render, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'package_name': json is the name .* Add a word: json_desk"):
        render(tmp_path, pilot_name="JSON")


REFUSED = sorted(
    {name for name in {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist} if not name.startswith("_")}
    | {"pilot", "tests", "pydantic", "numpy", "ai_pilot_wrapper"}
)


def test_no_word_or_module_of_python_is_left_for_a_package(template: Path) -> None:
    validator = QUESTIONS["package_name"]["validator"].split("'")[1].split()
    lowered = {name for name in REFUSED if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    assert lowered - set(validator) == set()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "class",
        "json",
        "pilot",
        "Triage",
        "2nd",
        "_x",
        "x_",
        "a__b",
        "a-b",
        "a b",
        "../x",
        "é",
        "x\n",
        "{{x}}",
        "x" * 41,
    ],
)
def test_what_cannot_name_a_package_is_refused_with_the_mend(name: str, render: Render, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'package_name': .*(Write it like|Add a word)"):
        render(tmp_path, package_name=name)


@pytest.mark.parametrize("name", ["x", "triage", "a1_b2", "x" * 40])
def test_what_can_name_a_package_is_taken(name: str, render: Render, tmp_path: Path) -> None:
    assert (render(tmp_path, package_name=name) / "src" / name / "rules.py").is_file()


@pytest.mark.parametrize("text", ["two\nlines", "x" * 301, " led"])
def test_a_problem_of_more_than_a_line_is_refused(text: str, render: Render, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'problem': .*one sentence"):
        render(tmp_path, problem=text)


@pytest.mark.parametrize(
    "name",
    [
        "Ada Byron, Bob Ross",
        "Ada and Bob",
        "Ada & Bob",
        "Ada/Bob",
        "Ada; Bob",
        "The data team",
        "Steering Committee",
        "Ada\nBob",
        "ada@example.org",
        "x" * 81,
        "-",
    ],
)
def test_an_owner_who_is_not_one_person_is_refused_with_the_mend(name: str, render: Render, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'owner_name': The owner must be .*: Ada Byron"):
        render(tmp_path, owner_name=name)


@pytest.mark.parametrize(
    "name", ["Ada Byron", "Sinéad O'Connor", "José Ortega y Gasset", "Anderson Orlando", "李小龙", 'Al "Q" B.']
)
def test_one_person_is_taken_as_owner(name: str, render: Render, tmp_path: Path) -> None:
    check_files(render(tmp_path, owner_name=name), {"owner_name": name})


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org, b@example.org",
        "a@example.org;b@example.org",
        "a@example.org b@example.org",
        "ada-and-bob@example.org",
        "team@example.org",
        "data.team@example.org",
        "committee@example.org",
        "support@example.org",
        "ada",
        "ada@",
        "@example.org",
        "ada@example",
        "a@b@example.org",
        "ada@example.org\n",
        '"ada"@example.org',
        "Ada <ada@example.org>",
    ],
)
def test_an_address_that_is_not_one_person_s_is_refused_with_the_mend(
    address: str, render: Render, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"'owner_email': .*: ada@example.org|'owner_email': .*like ada@example.org"):
        render(tmp_path, owner_email=address)


@pytest.mark.parametrize(
    "address", ["ada@example.org", "o'neil+pilot@mail.example.co.uk", "steam.anderson@example.org"]
)
def test_an_address_of_one_person_is_taken(address: str, render: Render, tmp_path: Path) -> None:
    check_files(render(tmp_path, owner_email=address), {"owner_email": address})


@pytest.mark.parametrize(
    ("question", "answer", "known"),
    [
        ("task", "chat", "classify"),
        ("metric", "speed", "accuracy"),
        ("approach", "borrow", "build"),
        ("regulated", "perhaps", "False, True"),
        ("ci", "jenkins", "github"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(
    question: str, answer: str, known: str, render: Render, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"(?i){known}"):
        render(tmp_path, **{question: answer})


@pytest.mark.parametrize(("answer", "said"), [("yes", True), ("no", False), (True, True), (False, False)])
def test_regulated_goes_into_the_charter(answer: Any, said: bool, render: Render, tmp_path: Path) -> None:
    charter = render(tmp_path, regulated=answer) / "phases/1-scope/charter.md"
    assert yaml.safe_load(charter.read_text(encoding="utf-8").split("---\n")[1])["regulated"] is said


METRICS = {task: [*choices(QUESTIONS["metric"], task).values()] for task in TASKS}
# Those that are no share; a share goes up, and these go down.
UNITS = {
    "absolute_error:hours": "hours",
    "cycle_time": "hours",
    "manual_touches": "actions",
    "cost_per_item": "currency",
}


@pytest.mark.parametrize(("task", "metric"), [(task, metric) for task in TASKS for metric in METRICS[task]])
def test_the_metric_brings_its_unit_and_direction(task: str, metric: str, render: Render, tmp_path: Path) -> None:
    charter = render(tmp_path, task=task, metric=metric) / "phases/1-scope/charter.md"
    facts = yaml.safe_load(charter.read_text(encoding="utf-8").split("---\n")[1])
    unit = UNITS.get(metric, "share")
    assert (facts["metric"], facts["unit"], facts["direction"]) == (metric, unit, "up" if unit == "share" else "down")
    assert facts["target"] is None, "a target is never invented"
    named = re.search(r"^metric: \S+ # (.*)$", charter.read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert metric in re.split(", | or ", named[1])


@pytest.mark.parametrize("task", TASKS)
def test_names_problem_and_metric_follow_from_the_task(task: str, render: Render, tmp_path: Path) -> None:
    recorded = yaml.safe_load((render(tmp_path, task=task) / ".copier-answers.yml").read_text(encoding="utf-8"))
    names = {"classify": "Ticket triage", "extract": "Invoice reading", "draft": "Customer replies"}
    assert recorded["pilot_name"] == names.get(task, "Ticket effort")
    assert recorded["problem"]
    assert recorded["metric"] == METRICS[task][0]


def test_the_problem_of_an_example_is_not_that_of_another_pilot(render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path, task="extract", pilot_name="Ticket triage")
    assert yaml.safe_load((pilot / ".copier-answers.yml").read_text(encoding="utf-8"))["problem"] == ""


@pytest.mark.parametrize("task", TASKS)
def test_a_metric_of_another_task_is_refused(task: str, render: Render, tmp_path: Path) -> None:
    others = {metric for other in TASKS for metric in METRICS[other]} - {*METRICS[task]}
    assert others
    for metric in others:
        with pytest.raises(ValueError, match=r"Invalid choice for 'metric'"):
            render(tmp_path / metric, task=task, metric=metric)


def test_no_answer_changes_the_wrapper() -> None:
    assert not [path for path in (ROOT / "template/pilot").rglob("*") if path.suffix == ".jinja"]


def combinations(task: str) -> list[dict[str, Any]]:
    """All that may be chosen together in a pilot of the task."""
    offered = {name: choices(question, task) for name, question in QUESTIONS.items() if "choices" in question}
    offered["task"] = {"": task}
    return [
        dict(zip(offered, chosen, strict=True))
        for chosen in itertools.product(*(found.values() for found in offered.values()))
    ]


# Each push renders all of them for one task; for the others test_pairs has each pair.
COMBINED = TASKS if FULL else TASKS[:1]


@pytest.mark.parametrize("answers", [answers for task in COMBINED for answers in combinations(task)], ids=str)
def test_every_combination_of_choices_renders_valid_files(
    answers: dict[str, Any], render: Render, tmp_path: Path
) -> None:
    check_files(render(tmp_path, **answers), answers)


@pytest.mark.parametrize(
    ("package", "task"),
    [
        *itertools.product(["a", "pilots", "zz_top", "x" * 40], TASKS[:1]),
        *itertools.product(["a", "x" * 40], TASKS[1:]),
    ],
)
@pytest.mark.parametrize("approach", [*choices(QUESTIONS["approach"]).values()])
def test_whatever_the_package_is_called_the_render_is_linted_and_formatted(
    package: str, approach: str, task: str, render: Render, tmp_path: Path
) -> None:
    pilot = render(tmp_path, package_name=package, approach=approach, task=task)
    run(sys.executable, "-m", "ruff", "check", "--no-cache", "src", "tests", cwd=pilot)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "src", "tests", cwd=pilot)
