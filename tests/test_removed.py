"""No path leaves the template in silence, and none that leaves takes the team's copy with it."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import run_copy, run_update
from helpers import CONFIG, QUESTIONS, ROOT, clone_of_working_tree, commit, files, git
from pathspec import GitIgnoreSpec
from releases import TESTED, VERSION

LISTED: list[dict[str, str]] = tomllib.loads((ROOT / "tests/removed.toml").read_text(encoding="utf-8"))["removed"]
WRAPPER = "pilot/"


def kept_by(config: dict[str, Any]) -> GitIgnoreSpec:
    """The paths that an update leaves alone, because `_exclude` has them."""
    lines = [line for patterns in config["_exclude"] for line in patterns.splitlines()]
    return GitIgnoreSpec.from_lines(line for line in lines if not line.startswith("{%"))


def mistakes(gone: set[str], listed: set[str], kept: GitIgnoreSpec) -> dict[str, str]:
    """What is wrong with paths that are gone: those outside of the wrapper must be listed, and kept in the pilots."""
    outside = {path for path in gone if not path.startswith(WRAPPER)}
    unlisted = dict.fromkeys(sorted(outside - listed), "not in tests/removed.toml")
    lost = {path: "not in _exclude of copier.yml" for path in sorted(outside & listed) if not kept.match_file(path)}
    return unlisted | lost


def shapes(questions: dict[str, Any]) -> list[dict[str, Any]]:
    """Answers that decide which files there are, in every combination, as far as there were such questions."""
    names = [name for name in ("approach", "ci") if name in questions]
    choices = [questions[name]["choices"].values() for name in names]
    return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices)]


@pytest.mark.parametrize("version", TESTED)
def test_each_path_of_a_release_is_still_rendered_or_listed_and_kept(
    version: str, history: Path, tmp_path: Path
) -> None:
    asked = yaml.safe_load(git("show", f"v{version}:copier.yml", cwd=history))
    for number, answers in enumerate(shapes(asked)):
        assert set(answers) <= set(QUESTIONS)
        then, now = tmp_path / f"then-{number}", tmp_path / f"now-{number}"
        run_copy(str(history), then, answers, defaults=True, quiet=True, unsafe=False, vcs_ref=f"v{version}")
        run_copy(str(history), now, answers, defaults=True, quiet=True, unsafe=False)
        gone = files(then).keys() - files(now).keys()
        assert mistakes(gone, {entry["path"] for entry in LISTED}, kept_by(CONFIG)) == {}, answers


def test_what_is_listed_is_gone_since_a_release_that_the_changelog_knows_for_a_reason(
    history: Path, tmp_path: Path
) -> None:
    known = re.findall(r"^## (\d+\.\d+\.\d+) ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert VERSION in known
    rendered: set[str] = set()
    for number, answers in enumerate(shapes(QUESTIONS)):
        folder = tmp_path / str(number)
        run_copy(str(history), folder, answers, defaults=True, quiet=True, unsafe=False)
        rendered |= files(folder).keys()
    assert "compose.yaml" in rendered
    for entry in LISTED:
        assert entry.keys() == {"path", "release", "reason"}
        assert entry["release"] in known
        assert len(entry["reason"].split()) > 3
        assert entry["path"] not in rendered
        assert not entry["path"].startswith(WRAPPER)


def test_a_path_that_left_in_silence_and_one_that_is_not_kept_are_named() -> None:
    kept = kept_by({"_exclude": ["{% if x %}\n/runbook/kept.md\n{% endif %}\n", "*.pyc"]})
    gone = {"runbook/kept.md", "runbook/lost.md", "runbook/silent.md", "pilot/src/pilot/old.py"}
    assert mistakes(gone, {"runbook/kept.md", "runbook/lost.md"}, kept) == {
        "runbook/silent.md": "not in tests/removed.toml",
        "runbook/lost.md": "not in _exclude of copier.yml",
    }


@pytest.mark.parametrize("excluded", [True, False])
def test_an_update_leaves_the_team_its_copy_where_the_path_is_excluded_and_deletes_old_files_of_the_wrapper(
    excluded: bool, tmp_path: Path
) -> None:
    (tmp_path / "template").mkdir()
    template = clone_of_working_tree(tmp_path / "template")
    pilot = tmp_path / "pilot"
    run_copy(str(template), pilot, defaults=True, quiet=True, unsafe=False)
    commit(pilot, "Begin the pilot")
    page, code = pilot / "runbook/switch-off.md", pilot / "pilot/src/pilot/workbench/documents/model.py"
    before = page.read_bytes()
    assert code.is_file()
    for file in (page, code):
        (template / "template" / file.relative_to(pilot)).unlink()
    if excluded:
        config = (template / "copier.yml").read_text(encoding="utf-8")
        patterns = "_exclude: [*seed, *generated"
        assert patterns in config
        (template / "copier.yml").write_text(config.replace(patterns, f"{patterns}, /runbook/switch-off.md"))
    commit(template, "Remove them", tag="v0.2.0")
    run_update(pilot, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert not code.exists()
    # Without the pattern the copy is gone, which is why the tests above ask for one.
    assert (page.read_bytes() if page.exists() else None) == (before if excluded else None)
