"""What every render promises: no trust, no clock, no chance, and one owner for each path."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from copier import run_copy
from helpers import CONFIG, ROOT, TASKS, Render, files, git, run
from pathspec import GitIgnoreSpec
from pytest_copie.plugin import Copie


def owned(kind: str) -> GitIgnoreSpec:
    lines = CONFIG["_ownership"][kind].splitlines()
    return GitIgnoreSpec.from_lines(line for line in lines if not line.startswith("{%"))


OWNERS = {kind: owned(kind) for kind in CONFIG["_ownership"]}


def owners(path: str) -> list[str]:
    return [kind for kind, spec in OWNERS.items() if spec.match_file(path)]


def test_nothing_in_the_template_needs_trust() -> None:
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(CONFIG)
    assert not (ROOT / ".gitmodules").exists()


def test_the_command_line_needs_no_other_flag_than_defaults(template: Path, tmp_path: Path) -> None:
    command = 'exec "$0" -m copier copy --defaults "$1" "$2" 2>&1'
    said = run("sh", "-c", command, sys.executable, template, tmp_path / "new pilot", cwd=tmp_path)
    assert (tmp_path / "new pilot" / "src/ticket_triage/schema.py").is_file()
    assert f"cd '{tmp_path / 'new pilot'}'" in said
    assert "uv run pilot demo" in said


def test_pytest_copie_renders_the_default_pilot(copie: Copie) -> None:
    result = copie.copy()
    assert result.exit_code == 0, result.exception
    assert result.project_dir is not None
    assert (result.project_dir / "phases/1-scope/charter.md").is_file()


@pytest.mark.parametrize("approach", ["build", "buy"])
def test_the_same_answers_render_the_same_files(approach: str, render: Render, tmp_path: Path) -> None:
    answers = {"approach": approach, "pilot_name": "Invoice check", "owner_name": "Ada Byron", "regulated": True}
    assert files(render(tmp_path / "a", **answers)) == files(render(tmp_path / "b", **answers))


@pytest.mark.parametrize(
    ("approach", "ci", "task"),
    [
        ("build", "github", "classify"),
        ("buy", "gitlab", "extract"),
        ("build", "gitlab", "draft"),
        ("buy", "github", "score"),
    ],
)
def test_each_rendered_path_has_one_owner(approach: str, ci: str, task: str, render: Render, tmp_path: Path) -> None:
    rendered = files(render(tmp_path, approach=approach, ci=ci, task=task))
    assert {path: owners(path) for path in rendered if owners(path) not in (["managed"], ["seed"])} == {}


def test_nothing_generated_is_rendered(template: Path, tmp_path: Path) -> None:
    left_by_work = [
        "pilot/.venv/x",
        "pilot/src/pilot/__pycache__/a.pyc",
        "uv.lock",
        "secrets/data_key",
        "var/pilot.db",
        ".env",
    ]
    working_copy = tmp_path / "template"
    git("clone", "--quiet", template, working_copy, cwd=tmp_path)
    for path in left_by_work:
        (working_copy / "template" / path).parent.mkdir(parents=True, exist_ok=True)
        (working_copy / "template" / path).write_text("left")
    git("add", "--all", "--force", cwd=working_copy)
    git("commit", "--quiet", "--message=Commit what was left", cwd=working_copy)
    run_copy(str(working_copy), tmp_path / "pilot", defaults=True, quiet=True, vcs_ref="HEAD")
    assert not [path for path in left_by_work if (tmp_path / "pilot" / path).exists()]


def test_every_pattern_of_an_owner_still_owns_something(render: Render, tmp_path: Path) -> None:
    rendered = [path for ci in ("github", "gitlab") for path in files(render(tmp_path / ci, ci=ci))]
    patterns = [line for kind in ("managed", "seed") for line in CONFIG["_ownership"][kind].splitlines()]
    unused = [
        pattern
        for pattern in patterns
        if not pattern.startswith("{%") and not any(GitIgnoreSpec.from_lines([pattern]).match_files(rendered))
    ]
    assert unused == []


def test_no_answer_stands_in_a_managed_file(render: Render, tmp_path: Path) -> None:
    answers = {
        "pilot_name": "Zyx pilot",
        "package_name": "zyx_package",
        "problem": "Zyx problem.",
        "owner_name": "Zyx Owner",
        "owner_email": "zyx@example.org",
        "metric": "cycle_time",
        "regulated": True,
    }
    default = files(render(tmp_path / "default"))
    other = files(render(tmp_path / "other", **answers))
    managed = {path for path in default if owners(path) == ["managed"]} - {".copier-answers.yml"}
    assert managed
    assert {path for path in managed if default[path] != other.get(path)} == set()


def test_the_approach_changes_seeds_alone(render: Render, tmp_path: Path) -> None:
    build, buy = (files(render(tmp_path / approach, approach=approach)) for approach in ("build", "buy"))
    differing = {path for path in build.keys() | buy.keys() if build.get(path) != buy.get(path)}
    assert {kind for path in differing - {".copier-answers.yml"} for kind in owners(path)} == {"seed"}


def rendered_for(task: str, render: Render, folder: Path) -> dict[str, bytes]:
    """The files of an example, with the same names in every task."""
    same = {"pilot_name": "A pilot", "problem": "Too slow.", "metric": "cycle_time"}
    return files(render(folder, wrapper=False, task=task, **same))


@pytest.mark.parametrize("task", TASKS[1:])
def test_the_task_changes_what_seeds_hold_and_nothing_else(task: str, render: Render, tmp_path: Path) -> None:
    classify, other = (rendered_for(one, render, tmp_path / one) for one in ("classify", task))
    assert classify.keys() == other.keys()
    differing = {path for path in classify if classify[path] != other[path]} - {".copier-answers.yml"}
    assert {kind for path in differing for kind in owners(path)} == {"seed"}
    assert differing >= {"data/examples.csv", "data/known.csv", "tests/test_data.py", "tests/test_rules.py"}
    assert {path.rpartition("/")[2] for path in differing} >= {"schema.py", "rules.py", "model.py", "README.md"}


# Words of one example that no other task has a use for.
WORDS = {
    "classify": r"(?i)\bqueues?\b|triage|coffee machine|classifi",
    "extract": r"(?i)supplier|vat_id|\bextract",
    "draft": r"(?i)Larkfield|pilot\.Draft|replies to customers",
    "score": r"(?i)\bweb shop\b|regression|absolute_error",
}


def words_of_others(task: str, rendered: dict[str, bytes]) -> list[tuple[str, str]]:
    """Which words of other examples stand in the seeds of a pilot."""
    return [
        (path, found[0])
        for path, text in rendered.items()
        if owners(path) == ["seed"]
        for other, words in WORDS.items()
        if other != task and (found := re.search(words, text.decode()))
    ]


@pytest.mark.parametrize("task", TASKS)
def test_no_example_speaks_of_another(task: str, render: Render, tmp_path: Path) -> None:
    rendered = rendered_for(task, render, tmp_path)
    assert words_of_others(task, rendered) == []
    assert [path for path, text in rendered.items() if re.search(WORDS[task], text.decode())]


def test_a_word_of_another_example_is_seen(render: Render, tmp_path: Path) -> None:
    rendered = rendered_for("draft", render, tmp_path)
    rendered["README.md"] += b"Pick a queue.\n"
    assert words_of_others("draft", rendered) == [("README.md", "queue")]


def test_the_answers_hold_where_the_template_came_from(template: Path, render: Render, tmp_path: Path) -> None:
    recorded = yaml.safe_load((render(tmp_path) / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert recorded["_src_path"] == str(template)
    assert Path(recorded["_src_path"]).is_absolute()
    assert recorded["_commit"] == "v0.1.0"


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_each_managed_file_beside_the_wrapper_names_its_extension_point(
    ci: str, render: Render, tmp_path: Path
) -> None:
    managed = [
        path for path in files(render(tmp_path, ci=ci)) if owners(path) == ["managed"] and not path.startswith("pilot/")
    ]
    silent = [path for path in managed if "xtension point" not in (tmp_path / path).read_text(encoding="utf-8")[:1000]]
    assert silent == [".copier-answers.yml"]


@pytest.mark.parametrize(("where", "called"), [("a b", "a b"), (".", "this folder")])
def test_a_copy_ends_with_what_to_type_next(
    where: str,
    called: str,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run_copy(str(template), where, defaults=True, unsafe=False, vcs_ref="HEAD")
    said = capsys.readouterr().err
    assert f"The pilot Ticket triage is in {called}. Next:\n" in said
    assert re.findall(r"^    cd (.*)$", said, re.MULTILINE) == ([] if where == "." else ["'a b'"])
    assert "\n    git init && git add -A && git commit" in said
