"""The documents: their commands run, their links lead somewhere, their claims are shown, the reference is current."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import reference
import typer
import yaml
from documents import PUBLIC, anchors, blocks, hidden, script, unsaid
from examples import EXAMPLES
from helpers import ROOT, Render, clone_of_working_tree, commit, git, run
from pilot.cli import app
from pilot.settings import SECRETS, Settings
from pilot.workbench.checks import CHECKS, Check
from pydantic.fields import FieldInfo
from stack import SHELL, UV, free_port
from test_render import owners

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TUTORIALS = ["tutorial.md", *sorted(f"tutorials/{page.name}" for page in (DOCS / "tutorials").glob("*.md"))]
FOLLOWED = [*TUTORIALS, *sorted(f"how-to/{page.name}" for page in (DOCS / "how-to").glob("*.md"))]
BY_HAND = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md", "CHANGELOG.md")]
AUTHOR = tuple(
    f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME=Test", "EMAIL=test@example.org")
)
EXISTING = {
    "pyproject.toml": '[project]\nname = "parcel-desk"\nversion = "1.4.0"\nrequires-python = ">=3.11"\n',
    "README.md": "# Parcel desk\n",
    ".gitignore": ".venv/\n",
    "src/parcel_desk/__init__.py": '"""Our own code."""\n',
    "tests/test_desk.py": "import parcel_desk\n\n\ndef test_it_is_ours() -> None:\n    assert parcel_desk.__doc__\n",
}


def type_in(folder: Path, script: str) -> str:
    """What a shell prints that follows a script, both its outputs."""
    return run("env", *SHELL, *AUTHOR, "bash", "-c", f"exec 2>&1\n{script}", cwd=folder, timeout=400)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with a release after the one that it renders, which the page on updates leads to."""
    return clone_of_working_tree(tmp_path_factory.mktemp("older"))


def begin(page: str, folder: Path, template: Path, render: Render) -> Path:
    """The folder in which a reader of the page starts."""
    if page in TUTORIALS:
        return folder
    if page == "how-to/adopt.md":
        for name, text in EXISTING.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        commit(folder, "Our project")
        return folder
    if page == "how-to/update.md":
        run("uvx", "--quiet", "copier", "copy", "--quiet", "--defaults", template, folder / "pilot", cwd=folder)
    else:
        render(folder / "pilot")
    run(UV, "sync", "--quiet", cwd=folder / "pilot", UV_PYTHON_DOWNLOADS="never")
    commit(folder / "pilot", "Begin the pilot")
    if page == "how-to/update.md":
        change = template / "template/runbook/README.md"
        change.write_text(change.read_text(encoding="utf-8") + "\nNew in the next release.\n", encoding="utf-8")
        commit(template, "Release", tag="v0.2.0")
    return folder / "pilot"


@pytest.mark.parametrize("page", FOLLOWED)
def test_the_commands_of_the_page_run_as_they_stand(
    page: str, template: Path, older: Path, render: Render, tmp_path: Path
) -> None:
    source = older if page == "how-to/update.md" else template
    folder = begin(page, tmp_path, source, render)
    text, port = (DOCS / page).read_text(encoding="utf-8"), free_port()
    said = type_in(folder, f"export PILOT_PORT={port}\n" + script(text, template=source, port=port))
    assert unsaid(text, said) == [], said
    if page == "how-to/update.md":
        assert "New in the next release." in (folder / "runbook/README.md").read_text(encoding="utf-8")
    if page == "how-to/adopt.md":
        kept = {name: text for name, text in EXISTING.items() if name not in ("pyproject.toml", ".gitignore")}
        assert {name: (folder / name).read_text(encoding="utf-8") for name in kept} == kept


def test_a_command_that_fails_and_output_that_is_not_there_are_seen(template: Path, tmp_path: Path) -> None:
    for fails in ("false", "false && true"):
        page = f"```bash\necho before\n{fails}\necho after\n```\n"
        with pytest.raises(AssertionError, match="before\n"):
            type_in(tmp_path, script(page, template=template, port=1))
    assert unsaid("```text\nafter\n...\nbefore\n```\n", "before") == ["after"]


def test_a_service_that_does_not_start_is_seen(template: Path, tmp_path: Path) -> None:
    page = "<!-- another terminal -->\n```bash\nsh -c 'echo no port; exit 3'\n```\n"
    with pytest.raises(AssertionError, match="no port"):
        type_in(tmp_path, script(page, template=template, port=free_port()))


@pytest.mark.parametrize("page", FOLLOWED)
def test_every_block_of_commands_runs_or_says_why_not(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert hidden(text) == []
    assert any(block.runs for block in blocks(text))
    marks = re.findall(r"<!-- (not run.*|another.*) -->", text)
    assert marks == [block.mark for block in blocks(text) if block.mark], "a mark stands in the line before its block"


@pytest.mark.parametrize("page", [page for page in PAGES if page.relative_to(DOCS).as_posix() not in FOLLOWED])
def test_other_pages_hold_no_commands(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert hidden(text) == []
    assert not [block for block in blocks(text) if block.runs or block.title]


@pytest.mark.parametrize("language", ["", "console", "sh"])
def test_commands_in_another_kind_of_block_are_seen(language: str) -> None:
    assert hidden(f"Text.\n\n```{language}\nuv sync\n```\n") == ["uv sync\n"]
    assert hidden("Text.\n\n    uv sync\n") == ["    uv sync"]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """The site of the copy in the folder, built strictly."""
    program = shutil.which("zensical")
    assert program
    return subprocess.run([program, "build", "--strict", "--clean"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The documents alone, to be changed."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


class Links(HTMLParser):
    """What a page of the site asks for, and what it can be asked for."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.wanted: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.wanted.append((tag, value))


def broken(site: Path) -> list[str]:
    """What the pages of a site ask for and do not get: a file or a place that is not there, or anything but a link that
    stands elsewhere."""
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    wrong = []
    for page, links in pages.items():
        for tag, link in links.wanted:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                wrong += [f"{page.name}: {link}"] if tag != "a" and parts.scheme != "data" else []
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            there = target.is_file() and not link.startswith("/")
            if not there or (parts.fragment and parts.fragment not in pages[target].anchors):
                wrong.append(f"{page.relative_to(site)}: {link}")
    return wrong


def test_the_site_builds_strictly_and_fetches_nothing_from_elsewhere(copy: Path) -> None:
    done = build(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert broken(copy / "site") == []
    built = {page.relative_to(copy / "site").as_posix() for page in (copy / "site").rglob("index.html")}
    expected = {page.relative_to(DOCS).with_suffix("").as_posix().removesuffix("index") for page in PAGES}
    assert built == {f"{name}/index.html".removeprefix("/") for name in expected}
    assert not list((copy / "site").rglob("*.py"))
    assert (copy / "site/review-page.png").is_file()


@pytest.mark.parametrize(
    "planted", ["[x](gone.md)", "[x](#gone)", "[x](tutorial.md#gone)", "![x](gone.png)", "[x](/gone)"]
)
def test_a_broken_link_is_seen(planted: str, copy: Path) -> None:
    page = copy / "docs/index.md"
    page.write_text(page.read_text(encoding="utf-8") + f"\n{planted}\n", encoding="utf-8")
    assert build(copy).returncode != 0 or broken(copy / "site") != []


def test_a_script_from_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://cdn.example.org/x.js"></script>', encoding="utf-8")
    assert broken(tmp_path) == ["index.html: https://cdn.example.org/x.js"]


def test_each_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^ +-(?: .+:)? (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


LINK = re.compile(r"\]\((?P<to>[^)\s]+)(?: \"(?P<title>[^\"]*)\")?\)")


def unshown(page: str, folder: Path) -> list[str]:
    """The links of a page to what is not there: files of this repository, places in them, and tests that they name."""
    wrong = []
    for link in LINK.finditer(page):
        to = link["to"].replace(f"{PUBLIC}/blob/main/", f"{ROOT}/")
        if to.startswith(("http", "#")):
            continue
        path, _, place = to.partition("#")
        file, test = folder / path, link["title"]
        if (
            not file.exists()
            or (place and place not in anchors(file))
            or (test and not re.search(rf"def {re.escape(test)}\(", file.read_text(encoding="utf-8")))
        ):
            wrong.append(link[0])
    return wrong


@pytest.mark.parametrize("page", [*BY_HAND, *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_leads_to_a_file_and_each_claim_to_a_test(page: Path) -> None:
    assert unshown(page.read_text(encoding="utf-8"), page.parent) == []


def test_a_claim_whose_test_is_gone_is_seen() -> None:
    here = '[x](tests/test_docs.py "test_a_claim_whose_test_is_gone_is_seen")'
    gone = '[x](tests/test_docs.py "test_that_is_gone")'
    away = f"[x]({PUBLIC}/blob/main/tests/gone.py)"
    there, place = "[x](CONTRIBUTING.md#a-change)", "[x](CONTRIBUTING.md#gone)"
    assert unshown(f"{here} {gone} {away} {there} {place}", ROOT) == [link[2:] for link in (gone, away, place)]


def test_the_readme_shows_what_it_claims() -> None:
    claims = (ROOT / "README.md").read_text(encoding="utf-8").split("## What you get")[1].split("\n## ")[0]
    assert [claim for claim in claims.split("\n- ")[1:] if "[shown](" not in claim] == []


@pytest.mark.parametrize("page", [*BY_HAND, *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_unproven_is_claimed(page: Path) -> None:
    text = page.read_text(encoding="utf-8").partition("## What is not claimed")[0]
    assert re.findall(r"(?i)\b(?:is|are|fully) (?:secure|compliant|safe)\b|\bcompl(?:iant|ies) with\b", text) == []


def text_of(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def test_the_reference_is_current() -> None:
    stale = [name for name, text in reference.pages().items() if text != text_of(name)]
    assert stale == [], "run `make docs` and commit what it writes"
    assert {page.name for page in (DOCS / "reference").glob("*.md")} == reference.pages().keys()


def one_more_verb() -> str:
    changed = typer.Typer()
    changed.registered_commands = [*app.registered_commands]
    changed.registered_groups = [*app.registered_groups]
    changed.command("polish", rich_help_panel="2 Build")(lambda: None)
    return reference.commands(changed)


CHANGES: dict[str, Callable[[], str]] = {
    "questions.md": lambda: reference.questions({**reference.QUESTIONS, "ci": {"help": "Which?", "default": "x"}}),
    "commands.md": one_more_verb,
    "settings.md": lambda: reference.settings({**Settings.model_fields, "new": FieldInfo(annotation=int)}, SECRETS),
    "gates.md": lambda: reference.gates(
        (*CHECKS.values(), Check("new", 2, "Is it?", lambda pilot: "it is", "evidence", "database", "Do it."))
    ),
    "ownership.md": lambda: reference.ownership({**reference.CONFIG["_ownership"], "seed": "/new"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_code_makes_the_reference_stale(name: str) -> None:
    assert CHANGES[name]() != text_of(name)
    assert CHANGES.keys() == reference.pages().keys()


def verbs(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """The name of each verb that does something, with its command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, *before, name)
        elif not command.hidden:
            yield " ".join((*before, name)), command


VERBS = dict(verbs(typer.main.get_command(app)))


def test_each_verb_that_takes_something_has_an_example() -> None:
    assert {name for name, command in VERBS.items() if command.params} == EXAMPLES.keys()


def unknown(text: str) -> set[str]:
    """The commands that a text names in backticks and that are none."""
    named = set(re.findall(r"`(?:uv run )?pilot ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", text))
    groups = {name.split()[0] for name in VERBS if " " in name}
    whole = {name for name in named if name.split()[0] in groups and " " in name}
    return {name for name in whole if name not in VERBS} | {
        name for name in named - whole if name.split()[0] not in {*VERBS, *groups}
    }


NAMING = [
    *DOCS.rglob("*.md"),
    ROOT / "CHANGELOG.md",
    *(ROOT / "template").glob("*.md.jinja"),
    *(ROOT / "template/runbook").glob("*.md"),
    *(ROOT / "template/pilot/src").rglob("*.py"),
    *(ROOT / "template/pilot/src").rglob("*.txt"),
    *(ROOT / "template/pilot/src").rglob("*.html"),
]


def test_each_command_that_is_named_exists() -> None:
    """The fixes of the gates are in the reference, as they are printed."""
    assert {str(file): found for file in NAMING if (found := unknown(file.read_text(encoding="utf-8")))} == {}


def test_a_command_that_is_none_is_seen() -> None:
    text = "`pilot user-guide`, `uv run pilot model learn`, `pilot gate 5` and `pilot model train`"
    assert unknown(text) == {"user-guide", "model learn"}


def parse(name: str, example: str) -> None:
    """Has a verb read an example as it would from a terminal, without running it."""
    words = shlex.split(example)
    assert " ".join(words).startswith(f"{name} "), f"this is no `pilot {name}`"
    VERBS[name].make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_verb_understands_its_example(name: str) -> None:
    parse(name, EXAMPLES[name])


@pytest.mark.parametrize(
    ("name", "example", "said"),
    [
        ("gate", "gate one", "valid integer"),
        ("sign", "sign charter", "Missing parameter"),
        ("serve", "serve --prot 1", "No such option"),
        ("charter", "charter --today tomorrow", "does not match"),
        ("keys create", "keys revoke 1", "no `pilot keys create`"),
    ],
)
def test_an_example_that_does_not_work_is_seen(name: str, example: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        parse(name, example)


def test_the_reference_says_what_a_setting_takes() -> None:
    port = text_of("settings.md").split("## `PILOT_PORT`")[1].split("\n## ")[0]
    assert "- Default: `8000`\n- Takes: a whole number from 1 to 65535" in port


def test_make_docs_writes_the_reference_and_builds_strictly() -> None:
    said = run("make", "--dry-run", "docs", cwd=ROOT)
    assert re.search(r"docs/reference\.py\n.* zensical build --strict", said)


def commands(page: Path) -> str:
    (block,) = blocks(page.read_text(encoding="utf-8"))
    assert block.runs
    return block.text


def test_the_commands_for_assistants_on_the_template_run() -> None:
    *made, render, wrapper = commands(ROOT / "AGENTS.md").splitlines()
    targets: Any = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.removeprefix("make ") for line in made] == ["lint", "docs"]
    assert {"lint", "docs"} <= set(targets)
    for command in (render, wrapper):
        assert " passed" in type_in(ROOT, command.replace("pytest -q", "pytest -q -k 'trust or exit'"))


def test_the_commands_for_assistants_in_a_pilot_run(pilot_folder: Path) -> None:
    said = type_in(pilot_folder, f"set -euo pipefail\n{commands(pilot_folder / 'AGENTS.md')}")
    assert " passed" in said
    assert "Usage: pilot" in said
    assert git("status", "--porcelain", "--untracked-files=no", cwd=pilot_folder) == ""


@pytest.mark.parametrize("answers", [{}, {"approach": "buy", "ci": "gitlab"}], ids=str)
def test_what_assistants_are_told_of_ownership_is_so(answers: dict[str, str], render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path / "pilot", **answers)
    commit(pilot, "Begin the pilot")
    told = (pilot / "AGENTS.md").read_text(encoding="utf-8").split("## Whose file is it")[1].split("\n## ")[0]
    team, template = told.split("- The template's:")
    listed: dict[str, set[str]] = {}
    for kind, text in (("seed", team), ("managed", template)):
        listed[kind] = set()
        for path in re.findall(r"`([^`]+)`", text):
            tracked = git("ls-files", path, cwd=pilot).split()
            assert tracked, path
            assert {owner for file in tracked for owner in owners(file)} == {kind}, path
            listed[kind].update(tracked)
    assert listed["seed"] | listed["managed"] == set(git("ls-files", cwd=pilot).split())


def jobs(workflow: Path) -> set[str]:
    return set(yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"])


def test_the_rules_of_the_branches_name_the_checks_that_there_are(render: Render, tmp_path: Path) -> None:
    ours = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("the checks ")[1].split(" green")[0]
    assert set(re.findall(r"`([\w-]+)`", ours)) == jobs(ROOT / ".github/workflows/ci.yml")
    pilot = render(tmp_path / "pilot")
    (theirs,) = re.findall(r"^- (`promises`.*) are green,$", (pilot / "ci/README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", theirs)) == jobs(pilot / ".github/workflows/pilot-ci.yml")
    assert jobs(pilot / ".github/workflows/ci.yml") == {"pilot"}, "`pilot / lint` is what GitHub calls the check"
