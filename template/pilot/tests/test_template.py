"""The template: its files unedited, its news, and updates that refuse or tell, on a template of a few files."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from pilot.cli import main
from pilot.contract import PilotError
from pilot.workbench import template_tools as tools

CONFIG = """\
_min_copier_version: "9.19.0"
_subdirectory: template
_ownership:
  managed: |
    /.copier-answers.yml
    /compose.yaml
    /pilot
    /runbook
  seed: &seed |
    {% if _copier_operation == 'update' %}
    /README.md
    /phases
    {% endif %}
  generated: &generated |
    __pycache__
    /uv.lock
_exclude: [*seed, *generated]
name:
  type: str
  default: Triage
"""
MANAGED = {
    "compose.yaml": "# Extension point: compose.override.yaml, which Compose reads too.\na: 1\nb: 2\nc: 3\n",
    "pilot/src/code.py": "ONE = 1\n\n\nTWO = 2\n",
    "runbook/down.md": "<!-- Extension point: own pages in this folder. -->\n# Down\n",
}
SEEDS = {
    "README.md.jinja": "# {{ name }}\n",
    "phases/1-scope/charter.md": "---\n---\n",
    "phases/1-scope/notes.md": "Notes\n",
}
ANSWERS = "{{ _copier_conf.answers_file }}.jinja"
CHANGELOG = "# Changelog\n\n## 0.2.0 (2027-01-02)\n\nBetter.\n\n## 0.1.0 (2027-01-01)\n\nFirst.\n"
UV = """\
#!/bin/sh
echo "$@" >> "$UV_LOG"
case "$*" in *"$UV_FAILS"*) [ -n "$UV_FAILS" ] && exit 3;; esac
exit 0
"""
MARKER = "<" * 7 + " ours\n"


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def write(folder: Path, texts: dict[str, str]) -> None:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def commit(folder: Path, tag: str | None = None) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=Work")
    if tag:
        git(folder, "tag", tag)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with one version, v0.1.0."""
    folder = tmp_path / "template"
    write(folder, {"copier.yml": CONFIG, "CHANGELOG.md": CHANGELOG})
    write(folder / "template", {**MANAGED, **SEEDS, ANSWERS: "{{ _copier_answers | to_nice_yaml -}}\n"})
    commit(folder, "v0.1.0")
    return folder


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A pilot of that version, committed."""
    import copier

    folder = tmp_path / "pilot"
    copier.run_copy(str(template), folder, defaults=True, quiet=True)
    commit(folder)
    return folder


def release(template: Path, texts: dict[str, str], config: str = CONFIG, version: str = "v0.2.0") -> None:
    """Another version of the template."""
    write(template, {"copier.yml": config})
    write(template / "template", texts)
    commit(template, version)


@pytest.fixture
def uv(tmp_path: Path) -> dict[str, str]:
    """A uv that only writes down what it is asked for."""
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    return {"UV": str(tmp_path / "uv"), "UV_LOG": str(tmp_path / "uv.log"), "UV_FAILS": ""}


def pilot(root: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `pilot template` in this process, in which Copier is loaded once."""
    command = ["pilot", "template", *words]
    out, notes = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with (
        patch.dict(os.environ, {"PILOT_ROOT": str(root), **variables}),
        patch.object(sys, "argv", command),
        redirect_stdout(out),
        redirect_stderr(notes),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    out.flush()
    printed = out.buffer.getvalue().decode("utf-8", "surrogateescape")
    return subprocess.CompletedProcess(command, int(ended.value.code or 0), printed, notes.getvalue())


def fails(root: Path, *words: str, **variables: str) -> str:
    """What it says on stderr when it ends with exit code 1."""
    done = pilot(root, *words, **variables)
    assert done.returncode == 1, done
    return done.stderr


def shipped(root: Path, folder: Path) -> tools.Render:
    with tools.fetched(root) as found:
        return found.render(folder, found.version)


def test_an_unedited_pilot_is_what_was_shipped(root: Path) -> None:
    done = pilot(root, "check")
    assert (done.returncode, done.stdout) == (0, "All 3 files of the template's are as v0.1.0 shipped them.\n")


def test_edited_missing_and_added_files_are_told_with_where_the_change_belongs(root: Path) -> None:
    (root / "compose.yaml").write_text("a: 2\n")
    (root / "runbook/down.md").unlink()
    write(root, {"pilot/src/own.py": "", "pilot/src/__pycache__/own.pyc": "", "README.md": "# Ours\n"})
    done = pilot(root, "check")
    assert done.returncode == 1
    first, *mends = done.stdout.split("\n\n")
    assert first.splitlines() == [
        "edited   compose.yaml",
        "missing  runbook/down.md",
        "added    pilot/src/own.py",
    ]
    assert mends[0] == "compose.yaml: Extension point: compose.override.yaml, which Compose reads too."
    assert mends[1] == "runbook/down.md: Extension point: own pages in this folder."
    assert mends[2].startswith("pilot/src/own.py: Extend the wrapper from outside")
    assert "uv run pilot template check compose.yaml | git apply" in mends[3]


def test_the_team_s_own_files_beside_the_template_s_are_no_edits(root: Path) -> None:
    write(root, {"runbook/ours.md": "# Ours\n"})
    done = pilot(root, "check")
    assert (done.returncode, done.stdout) == (
        0,
        "All 3 files of the template's are as v0.1.0 shipped them. Yours beside them: runbook/ours.md.\n",
    )


@pytest.mark.parametrize("above", ["", "services/triage"])
def test_the_patch_of_a_file_puts_it_back(above: str, root: Path, tmp_path: Path) -> None:
    before = {path: (root / path).read_bytes() for path in MANAGED}
    if above:
        (root / ".git").rename(tmp_path / "git")
        (tmp_path / "mono/services").mkdir(parents=True)
        root = root.rename(tmp_path / "mono" / above)
        commit(tmp_path / "mono")
    (root / "compose.yaml").write_text("a: 2")  # no newline at its end
    (root / "runbook/down.md").unlink()
    write(root, {"pilot/src/own.py": "ONE = 1\n"})
    for path in ("compose.yaml", "runbook/down.md", "pilot/src/own.py"):
        said = pilot(root, "check", path).stdout
        subprocess.run(["git", "apply"], cwd=root, input=said, text=True, check=True)
    assert {path: (root / path).read_bytes() for path in MANAGED} == before
    assert not (root / "pilot/src/own.py").exists()
    assert "is not one of the template's files" in fails(root, "check", "README.md")


@pytest.mark.parametrize("text", ["a: \xe9\n", "a: 1\r\nb: 2\r\n", "a: 1\rb: \x0c 2", "\0\1\n"])
def test_the_patch_of_a_file_of_any_kind_puts_it_back(text: str, root: Path) -> None:
    (root / "compose.yaml").write_bytes(text.encode("latin-1"))
    said = pilot(root, "check", "compose.yaml").stdout
    apply = ["git", "apply", "--whitespace=nowarn"]
    subprocess.run(apply, cwd=root, input=said.encode("utf-8", "surrogateescape"), check=True)
    assert (root / "compose.yaml").read_bytes() == MANAGED["compose.yaml"].encode()


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_checkout_with_other_line_ends_is_no_edit(
    everywhere: bool, root: Path, template: Path, tmp_path: Path, uv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if everywhere:
        (tmp_path / "config").write_text("[core]\n  autocrlf = true\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", "pilot", "windows")
    root = tmp_path / "windows"
    assert b"\r\n" in (root / "compose.yaml").read_bytes()
    assert pilot(root, "check").returncode == 0
    assert "Your files are what a new pilot would get." in pilot(root, "news").stdout
    with (root / "compose.yaml").open("ab") as file:
        file.write(b"ours\r\n")
    said = pilot(root, "check", "compose.yaml").stdout
    subprocess.run(["git", "apply"], cwd=root, input=said.encode(), check=True)
    assert git(root, "status", "--porcelain") == ""
    release(template, {"compose.yaml": MANAGED["compose.yaml"].replace("b: 2", "b: 3")})
    assert pilot(root, "update", **uv).returncode == 0
    assert pilot(root, "check").returncode == 0


def test_a_link_in_the_place_of_a_file_is_an_edit(root: Path) -> None:
    (root / "compose.yaml").rename(root / "ours.yaml")
    (root / "compose.yaml").symlink_to("ours.yaml")
    assert "edited   compose.yaml" in pilot(root, "check").stdout
    said = pilot(root, "check", "compose.yaml").stdout
    subprocess.run(["git", "apply"], cwd=root, input=said, text=True, check=True)
    assert not (root / "compose.yaml").is_symlink()
    assert (root / "compose.yaml").read_text() == MANAGED["compose.yaml"]


@pytest.mark.parametrize("path", ["pilot", "runbook/never.md", "../compose.yaml", "/etc/passwd"])
def test_what_is_no_file_of_the_template_s_has_no_patch(path: str, root: Path) -> None:
    assert "is not one of the template's files" in fails(root, "check", path)


def test_the_answers_are_not_put_back_by_a_patch(root: Path) -> None:
    """A render's answers name the folder that it was made from, which is gone by then."""
    assert "Copier alone writes .copier-answers.yml" in fails(root, "check", tools.ANSWERS)


def test_a_patch_that_is_printed_elsewhere_says_where_to_apply_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "compose.yaml").write_text("a: 2\n")
    monkeypatch.chdir(root / "runbook")
    assert f"Apply it in {root}" in pilot(root, "check", "compose.yaml").stderr
    monkeypatch.chdir(root)
    assert pilot(root, "check", "compose.yaml").stderr == ""


def test_an_update_from_another_folder_says_where_its_commands_belong(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "runbook")
    assert f"Run what is named below in {root}" in pilot(root, "update").stderr
    monkeypatch.chdir(root)
    assert pilot(root, "update").stderr == ""


def test_who_owns_what_is_what_the_pilot_s_own_version_says(root: Path, template: Path, tmp_path: Path) -> None:
    release(template, {}, CONFIG.replace("    /runbook\n", ""))
    (root / "runbook/down.md").unlink()
    report = tools.edits(root, shipped(root, tmp_path / "shipped"))
    assert [finding.path for finding in report.found] == ["runbook/down.md"]


def test_a_template_that_does_not_say_who_owns_what_is_told(root: Path, template: Path) -> None:
    release(template, {}, CONFIG.replace("managed: |", "kept: |"), "v0.1.1")
    answers = root / tools.ANSWERS
    answers.write_text(answers.read_text().replace("v0.1.0", "v0.1.1"))
    assert "copier.yml of v0.1.1 lists no paths that are managed" in fails(root, "check")


@pytest.mark.parametrize("verb", ["check", "news", "update"])
@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ("_src_path: ", "_src_path: /nowhere/at/all #", "The template at /nowhere/at/all cannot be reached."),
        ("_src_path: ", "_src_path: ../template #", "is the relative path ../template"),
        ("_src_path: ", "_src: ", "has no _commit or _src_path"),
        ("_src_path: ", "_src_path: # ", "has no _commit or _src_path"),
        ("_src_path: ", "]: ", "cannot be read"),
    ],
)
def test_a_template_that_is_not_found_is_told(verb: str, was: str, is_now: str, said: str, root: Path) -> None:
    answers = root / tools.ANSWERS
    answers.write_text(answers.read_text().replace(was, is_now))
    commit(root)
    assert said in fails(root, verb)
    assert git(root, "status", "--porcelain") == ""


def test_a_version_that_the_template_has_not_is_told(root: Path) -> None:
    answers = root / tools.ANSWERS
    answers.write_text(answers.read_text().replace("v0.1.0", "v7.7.7"))
    assert "v7.7.7 of" in fails(root, "check")


@pytest.mark.parametrize("user", ["ada:sesame", "ada:p@sesame", "sesame"])
def test_no_password_of_an_address_is_shown(user: str, root: Path) -> None:
    answers = root / tools.ANSWERS
    answers.write_text(f"_commit: v0.1.0\n_src_path: https://{user}@localhost:9/none\n")
    said = fails(root, "check")
    assert "https://localhost:9/none cannot be reached" in said
    assert "sesame" not in said
    assert "sesame" not in tools.said(ValueError(f"git clone https://{user}@localhost:9/none"))


def test_a_server_that_never_answers_is_given_up(root: Path) -> None:
    with socket.create_server(("localhost", 0)) as server:
        url = f"git+http://localhost:{server.getsockname()[1]}/none.git"
        (root / tools.ANSWERS).write_text(f"_commit: v0.1.0\n_src_path: {url}\n")
        begun = time.monotonic()
        assert "cannot be reached" in fails(root, "check", GIT_HTTP_LOW_SPEED_TIME="1")
        assert time.monotonic() - begun < 20


def test_addresses_that_copier_shortens_are_made_whole() -> None:
    assert tools.address("gh:ada/template") == "https://github.com/ada/template.git"
    assert tools.address("gl:/ada/template.git") == "https://gitlab.com/ada/template.git"
    assert tools.address("git+https://example.org/t") == "https://example.org/t"
    assert tools.address("git@example.org:ada/t.git") == "git@example.org:ada/t.git"
    assert tools.address("~/t") == str(Path.home() / "t")
    for relative in ("template", "./template", "../a:b"):
        with pytest.raises(PilotError, match="relative path"):
            tools.address(relative)


def test_without_copier_the_mend_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)
    assert "Run `uv sync`" in fails(root, "check")


def test_without_git_the_mend_is_told(root: Path, tmp_path: Path) -> None:
    assert "Install git" in fails(root, "check", PATH=str(tmp_path / "nothing"))


@pytest.mark.parametrize("danger", ["_tasks: ['touch ran']", "_migrations: [{version: v0.2.0, command: touch ran}]"])
def test_a_template_that_asks_for_trust_gets_none(danger: str, root: Path, template: Path, tmp_path: Path) -> None:
    release(template, {"compose.yaml": "a: 5\n"}, f"{CONFIG}{danger}\n")
    (tmp_path / "settings.yml").write_text(f"trust: [{template}]\n")
    before = git(root, "rev-parse", "HEAD")
    assert "unsafe" in fails(root, "update", COPIER_SETTINGS_PATH=str(tmp_path / "settings.yml"))
    assert not list(tmp_path.rglob("ran"))
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "rev-parse", "HEAD") == before


def test_without_settings_of_its_own_an_update_would_obey_the_user_s_trust(
    root: Path, template: Path, tmp_path: Path, uv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes the control away, so that the test above is known to see it."""
    import copier

    release(template, {"compose.yaml": "a: 5\n"}, f"{CONFIG}_tasks: ['touch ran']\n")
    trusting = copier.Settings(trust=["/"])
    monkeypatch.setattr(tools, "library", lambda: (copier, trusting))
    assert pilot(root, "update", **uv).returncode == 0
    assert (root / "ran").exists()


def test_news_tell_new_changed_absent_and_different_seeds(root: Path, template: Path) -> None:
    blank = "pilot/src/pilot/workbench/documents/blank/3-decide/costs.toml"
    release(
        template,
        {"phases/1-scope/charter.md": "---\n---\nMore.\n", "phases/3-decide/costs.toml": "a = 1\n", blank: "a = 1\n"},
        CONFIG + "size:\n  type: str\n  default: small\n  help: How large?\n",
    )
    (root / "phases/1-scope/notes.md").unlink()
    (root / "README.md").write_text("# Triage\nOurs.\n")
    said = pilot(root, "news").stdout
    told, _, rest = said.partition("Better.\n\n")
    assert (
        told == "This pilot has v0.1.0; the newest is v0.2.0, by `pilot template update`.\n\n## 0.2.0 (2027-01-02)\n\n"
    )
    question, *parts = rest.split("\n\n")
    assert question == "New question, answered by its default: size = 'small'. How large?"
    assert [part.splitlines()[1].split() for part in parts[:4]] == [
        ["phases/3-decide/costs.toml", "+1", "-0", *["uv", "run", "pilot", "paper", "add", "3-decide/costs.toml"]],
        ["phases/1-scope/charter.md", "+1", "-0"],
        ["phases/1-scope/notes.md", "+1", "-0"],
        ["README.md", "+0", "-1"],
    ]
    assert [part.split()[0] for part in parts[:4]] == ["New", "Changed", "Not", "Otherwise"]
    patch = pilot(root, "news", "phases/1-scope/charter.md").stdout
    assert patch.endswith("\n+More.\n")
    subprocess.run(["git", "apply"], cwd=root, input=patch, text=True, check=True)
    assert (root / "phases/1-scope/charter.md").read_text() == "---\n---\nMore.\n"
    assert "is not one of the files" in fails(root, "news", "compose.yaml")


def test_without_news_that_is_told(root: Path) -> None:
    assert pilot(root, "news").stdout == (
        "This pilot has the newest version, v0.1.0.\nYour files are what a new pilot would get.\n"
    )


def test_the_changelog_s_sections_are_those_after_one_version_up_to_another() -> None:
    text = "# Changes\n\n## 0.10.0 (x)\n\nten\n\n## 0.2.0\n\ntwo\n\n### Part\n\n## 0.1.0\n\none\n"
    assert tools.sections(text, "v0.1.0", "v0.2.0") == "## 0.2.0\n\ntwo\n\n### Part"
    assert (
        tools.sections(text, "v0.1.0-3-g1234567", "v0.10.0.post1")
        == "## 0.10.0 (x)\n\nten\n\n## 0.2.0\n\ntwo\n\n### Part"
    )
    assert tools.sections(text, "v0.10.0", "v0.10.0") == ""
    assert [tools.number(version) for version in ("v1.2.3", "1.2", "v0.1.0-2-gabc", "abc", "")] == [
        (1, 2, 3),
        (1, 2),
        (0, 1, 0),
        (),
        (),
    ]


def test_an_update_brings_what_is_new_proves_it_and_says_what_to_read(
    root: Path, template: Path, uv: dict[str, str]
) -> None:
    question = "size:\n  type: str\n  default: small\n  help: How large?\n"
    release(template, {"compose.yaml": MANAGED["compose.yaml"] + "d: 4\n"}, CONFIG + question)
    (root / "README.md").write_text("# Ours\n")
    commit(root)
    done = pilot(root, "update", **uv)
    assert done.returncode == 0, done
    assert (root / "compose.yaml").read_text().endswith("d: 4\n")
    assert (root / "README.md").read_text() == "# Ours\n"
    said = done.stdout
    assert (
        "v0.1.0 -> v0.2.0: 2 files changed\n1/3  uv sync\n2/3  uv run ruff check\n3/3  uv run pytest -q tests\n" in said
    )
    assert "## 0.2.0 (2027-01-02)\n\nBetter.\n" in said
    assert "0.1.0 (2027" not in said
    assert "New question, answered by its default: size = 'small'. How large?" in said
    assert "--data size=ANSWER" in said
    assert "name =" not in said
    assert Path(uv["UV_LOG"]).read_text().splitlines() == ["sync", "run ruff check", "run pytest -q tests"]


def test_a_template_without_a_changelog_leaves_nothing_to_read(root: Path, template: Path, uv: dict[str, str]) -> None:
    (template / "CHANGELOG.md").unlink()
    release(template, {"compose.yaml": "a: 5\n"})
    done = pilot(root, "update", **uv)
    assert done.returncode == 0
    assert "Read what changed" not in done.stdout
    assert "3/3  uv run pytest" in done.stdout


def test_a_second_update_changes_nothing(root: Path, template: Path, uv: dict[str, str]) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    assert pilot(root, "update", **uv).returncode == 0
    commit(root)
    Path(uv["UV_LOG"]).unlink()
    done = pilot(root, "update", **uv)
    assert done.returncode == 0
    assert "v0.2.0 is the newest version, and it is here already." in done.stdout
    assert git(root, "status", "--porcelain") == ""
    assert not Path(uv["UV_LOG"]).exists()


@pytest.mark.parametrize(("step", "left"), [(0, "uv sync"), (1, "uv run ruff check"), (2, "uv run pytest -q tests")])
def test_what_fails_after_an_update_is_named_and_the_rest_is_not_run(
    step: int, left: str, root: Path, template: Path, uv: dict[str, str]
) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    said = fails(root, "update", **{**uv, "UV_FAILS": left.removeprefix("uv ")})
    assert f"`{left}` fails" in said
    assert " && ".join(tools.STEPS[step:]) in said
    assert len(Path(uv["UV_LOG"]).read_text().splitlines()) == step + 1
    assert (root / "compose.yaml").read_text() == "a: 5\n"


def test_a_conflict_fails_the_update_and_nothing_is_lost(root: Path, template: Path, uv: dict[str, str]) -> None:
    release(template, {"compose.yaml": MANAGED["compose.yaml"].replace("b: 2", "b: 3")})
    ours = MANAGED["compose.yaml"].replace("b: 2", "b: 4")
    (root / "compose.yaml").write_text(ours)
    commit(root)
    said = fails(root, "update", **uv)
    assert "compose.yaml:3: " + "<" * 7 + " before updating" in said
    assert "then run what is left: uv sync && uv run ruff check && uv run pytest -q tests" in said
    assert not Path(uv["UV_LOG"]).exists()
    conflicted = (root / "compose.yaml").read_text()
    assert "b: 3" in conflicted
    assert "b: 4" in conflicted
    subprocess.run(said.strip().rsplit("\n", 1)[1].partition(": ")[2], shell=True, cwd=root, check=True)
    assert git(root, "status", "--porcelain") == ""
    assert (root / "compose.yaml").read_text() == ours


@pytest.mark.parametrize(("path", "text"), [("compose.yaml.rej", "-a\n+b\n"), ("README.md", MARKER)])
def test_an_update_refuses_what_an_earlier_one_left_even_where_git_ignores_it(
    path: str, text: str, root: Path, template: Path
) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    write(root, {".gitignore": "*.rej\n", path: text})
    commit(root)
    assert git(root, "status", "--porcelain") == ""
    said = fails(root, "update")
    assert "Resolve them first" in said
    assert f"\n  {path}:" in said
    assert (root / "compose.yaml").read_text() == MANAGED["compose.yaml"]


def test_without_the_look_for_conflicts_an_update_would_end_well_with_markers_in_a_file(
    root: Path, template: Path, uv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes the control away, so that the tests above are known to see it."""
    release(template, {"compose.yaml": MANAGED["compose.yaml"].replace("b: 2", "b: 3")})
    (root / "compose.yaml").write_text(MANAGED["compose.yaml"].replace("b: 2", "b: 4"))
    commit(root)
    left, found = tools.conflicts, []
    monkeypatch.setattr(tools, "conflicts", lambda root: found)
    assert pilot(root, "update", **uv).returncode == 0
    assert left(root) != []


def test_rejected_hunks_count_after_an_update_even_where_git_ignores_them(root: Path) -> None:
    write(root, {".gitignore": "*.rej\n", "runbook/down.md.rej": "-a\n+b\n"})
    assert tools.conflicts(root) == ["runbook/down.md.rej: hunks of a patch that were rejected"]


def test_an_update_refuses_what_is_not_committed(root: Path, template: Path) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    for path in ("README.md", "new.md"):
        (root / path).write_text("# Ours\n")
        said = fails(root, "update")
        assert "not committed" in said
        assert path in said
        assert (root / "compose.yaml").read_text() == MANAGED["compose.yaml"]
        commit(root)


def test_an_update_refuses_a_folder_that_is_no_repository(root: Path, template: Path, tmp_path: Path) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    (root / ".git").rename(tmp_path / "git")
    assert "is in no git repository" in fails(root, "update")
    assert (root / "compose.yaml").read_text() == MANAGED["compose.yaml"]


def test_an_update_to_an_older_version_is_refused(root: Path, template: Path) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    assert pilot(root, "update", UV="/bin/true").returncode == 0
    commit(root)
    git(template, "tag", "--delete", "v0.2.0")
    assert "Unknown revision: 'v0.2.0'" in fails(root, "update")
    assert git(root, "status", "--porcelain") == ""


@pytest.fixture
def unreleased(root: Path, template: Path) -> Path:
    """A pilot of what came after the newest release."""
    import copier

    release(template, {"compose.yaml": "a: 5\n", "phases/1-scope/notes.md": "Later\n"}, version="v0.2.0rc1")
    copier.run_update(root, vcs_ref="v0.2.0rc1", defaults=True, overwrite=True, quiet=True)
    commit(root)
    return root


def test_a_version_that_was_never_released_is_not_told_to_go_back(unreleased: Path) -> None:
    said = pilot(unreleased, "news").stdout
    assert said.startswith("This pilot has the newest version, v0.2.0rc1.\n")
    assert "+Later" in pilot(unreleased, "news", "phases/1-scope/notes.md").stdout
    assert "Copier cannot update the pilot: You are downgrading" in fails(unreleased, "update")
    assert git(unreleased, "status", "--porcelain") == ""


def test_an_edit_that_the_update_removes_or_replaces_is_told(root: Path, template: Path, uv: dict[str, str]) -> None:
    ours = {"compose.yaml": "\0\1", "runbook/down.md": "# Ours\n", "runbook/more.md": "\0\2"}
    (template / "template/runbook/down.md").unlink()
    release(template, {"compose.yaml": "a: 5\n", "runbook/more.md": "# More\n", "pilot/src/code.py": "ONE = 2\n"})
    write(root, ours)
    (root / "pilot/src/code.py").write_text("ONE = 2\n")  # as the new version has it: nothing is lost
    commit(root)
    said = fails(root, "update", **uv)
    assert "compose.yaml: you edited it, and the template's version took its place." in said
    assert "runbook/more.md: you edited it, and the template's version took its place." in said
    assert "runbook/down.md: you edited it, and the template has removed it." in said
    assert "code.py" not in said
    assert not Path(uv["UV_LOG"]).exists()
    for path, text in ours.items():
        assert f"git show HEAD:./{path}" in said
        assert git(root, "show", f"HEAD:./{path}") == text


def test_a_file_that_git_ignores_is_not_replaced(root: Path, template: Path, uv: dict[str, str]) -> None:
    release(template, {"runbook/new.md": "# New\n", "runbook/same.md": "# Same\n"})
    write(root, {".gitignore": "/runbook/*\n"})
    commit(root)
    write(root, {"runbook/new.md": "# Ours\n", "runbook/same.md": "# Same\n"})
    said = fails(root, "update", **uv)
    assert "git ignores these files" in said
    assert said.endswith("first:\n  runbook/new.md\n")
    assert (root / "runbook/new.md").read_text() == "# Ours\n"
    (root / "runbook/new.md").unlink()
    assert pilot(root, "update", **uv).returncode == 0


def test_files_that_the_update_could_not_bring_are_told(root: Path, template: Path, uv: dict[str, str]) -> None:
    release(template, {"compose.yaml": "a: 5\n", "runbook/down.md": "# Down\n"})
    (root / "compose.yaml").rename(root / "ours.yaml")
    (root / "compose.yaml").symlink_to("ours.yaml")
    (root / "runbook/down.md").unlink()
    write(root, {"pilot/src/own.py": ""})
    commit(root)
    done = pilot(root, "update", **uv)
    assert done.returncode == 0
    assert "Not as v0.2.0 ships them: 2 of the template's files. uv run pilot template check" in done.stdout


def test_a_folder_in_the_place_of_a_file_is_no_traceback(root: Path, template: Path) -> None:
    release(template, {"compose.yaml": "a: 5\n"})
    (root / "compose.yaml").unlink()
    write(root, {"compose.yaml/own.yaml": "a: 1\n"})
    commit(root)
    said = fails(root, "update")
    assert "Copier cannot update the pilot" in said
    subprocess.run(said.strip().rpartition("this undoes them: ")[2], shell=True, cwd=root, check=True)
    assert git(root, "status", "--porcelain") == ""


def test_a_uv_that_cannot_be_run_leaves_all_steps(root: Path, template: Path, tmp_path: Path) -> None:
    for uv in ("/nowhere/uv", str(tmp_path)):
        release(template, {"compose.yaml": f"a: {uv}\n"}, version=f"v0.{len(uv)}.0")
        done = pilot(root, "update", UV=uv)
        assert done.returncode == 1
        assert "Install it, or name it in the variable UV" in done.stdout
        assert " && ".join(tools.STEPS) in done.stderr
        commit(root)


@pytest.mark.parametrize("side", ["<", ">", "|"])
@pytest.mark.parametrize("ending", [" ours\n", "\n", "\r\n"])
def test_markers_in_tracked_files_are_found(side: str, ending: str, root: Path) -> None:
    assert tools.conflicts(root) == []
    (root / "README.md").write_text(f"# Ours\n{side * 7}{ending}", newline="")
    [found] = tools.conflicts(root)
    assert found.startswith(f"README.md:2: {side * 7}")


@pytest.mark.parametrize("attribute", ["-diff", "binary", "-merge"])
def test_markers_are_found_whatever_an_attribute_says_of_the_file(attribute: str, root: Path) -> None:
    write(root, {".gitattributes": f"*.yaml {attribute}\n", "compose.yaml": MARKER})
    assert tools.conflicts(root) == [f"compose.yaml:1: {MARKER.strip()}"]


def test_a_file_that_the_team_has_looked_at_may_hold_what_looks_like_a_marker(root: Path) -> None:
    (root / "mail.csv").write_text(f"{'>' * 7} On Monday you wrote\n")
    assert tools.conflicts(root) == [f"mail.csv:1: {'>' * 7} On Monday you wrote"]
    (root / ".gitattributes").write_text("mail.csv ci-keep\n")
    assert tools.conflicts(root) == []


def test_what_only_looks_like_a_marker_is_none(root: Path) -> None:
    write(root, {"README.md": f"Title\n{'=' * 7}\n {MARKER}{'<' * 8} x\n{'>' * 7}x\n", "untracked.md": MARKER})
    assert tools.conflicts(root) == [f"untracked.md:1: {MARKER.strip()}"]


def test_tracked_rejected_hunks_are_found(root: Path) -> None:
    write(root, {"compose.yaml.rej": "-a\n+b\n"})
    git(root, "add", "--force", "--", "compose.yaml.rej")
    assert tools.conflicts(root) == ["compose.yaml.rej: hunks of a patch that were rejected"]


def test_markers_outside_of_a_repository_are_not_called_none(root: Path, tmp_path: Path) -> None:
    (root / ".git").rename(tmp_path / "git")
    with pytest.raises(PilotError, match="git says: "):
        tools.conflicts(root)


def test_a_patch_between_equal_or_absent_files_is_empty(root: Path) -> None:
    assert tools.patch(root, root, "compose.yaml") == ""
    assert tools.patch(root, root, "nowhere") == ""
