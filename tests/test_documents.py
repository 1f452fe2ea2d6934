"""The documents of a pilot: each block of commands runs in CI, or says why not, and the check of that sees mistakes."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from documents import anchors
from helpers import ROOT, TASKS, Render, commit
from jobs import github, outcome
from test_render import owners


@pytest.fixture(scope="module")
def documents() -> ModuleType:
    """The script of the template, as a module."""
    spec = importlib.util.spec_from_file_location("documents", ROOT / "template/ci/documents.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "answers",
    [{}, {"approach": "buy", "ci": "gitlab"}, {"regulated": True}, *({"task": task} for task in TASKS[1:])],
    ids=str,
)
def test_each_block_runs_or_says_why_not_and_asks_for_what_there_is(
    answers: dict[str, object], documents: ModuleType, render: Render, tmp_path: Path
) -> None:
    folder = render(tmp_path / "pilot", **answers)
    found = [
        block
        for file in documents.pages(folder)
        for block in documents.blocks(file.name, file.read_text(encoding="utf-8"))
    ]
    assert [block for block in found if not block.runs and not block.reason] == []
    lines = [line for block in found for line in block.commands.replace("\\\n", " ").split("\n")]
    assert [what for line in lines if (what := documents.unknown(line))] == []
    run = "\n".join(block.commands for block in found if block.runs)
    assert {"pilot demo", "pilot keys create", "pilot mode off"} <= {
        words for words in ("pilot demo", "pilot keys create", "pilot mode off") if words in run
    }


def test_the_commands_of_an_installed_pilot_s_documents_work(pilot_folder: Path) -> None:
    done = outcome(github(pilot_folder)["documents"].commands, pilot_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "uv run pilot demo" in done.stdout


PAGE = """# Page

<!-- ci -->

    uv run pilot status
    uv run pilot demo

Text. <!-- ci -->

    no mark above this one

```text
    uv run pilot nonsense
```

<!-- not in ci: it needs a key -->
```bash
docker compose exec pilot pilot keys create caller --name "My script" \\
  --origin test
```
"""


def test_blocks_are_found_with_their_marks(documents: ModuleType) -> None:
    found = [(one.line, one.commands.split("\n")[0], one.runs, one.reason) for one in documents.blocks("p", PAGE)]
    assert found == [
        (5, "uv run pilot status", True, None),
        (10, "no mark above this one", False, None),
        (18, 'docker compose exec pilot pilot keys create caller --name "My script" \\', False, "it needs a key"),
    ]


@pytest.mark.parametrize("fence", ["~~~bash", "```shell", "```bash ", "   ```bash", "```", "Text"])
def test_a_mark_whose_commands_would_not_run_is_named(fence: str, documents: ModuleType) -> None:
    text = PAGE + f"<!-- ci -->\n{fence}\nfalse\n```\n"
    assert documents.alone(text, [*documents.blocks("p", text)]) == [text.count("\n") - 3]
    assert documents.alone(PAGE, [*documents.blocks("p", PAGE)]) == []


@pytest.mark.parametrize("below", ["", "services/the pilot ü"])
@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"<!-- ci -->\n\n    test -f ci/documents.py\n", "1 of 1 blocks run, 0 mistakes."),
        (b"<!-- ci -->\n~~~bash\nfalse\n~~~\n", "README.md:1: no block of bash or sh is below this mark"),
        (b"\xe9\n", "README.md: it is not UTF-8"),
    ],
)
def test_the_pages_of_a_repository_or_a_part_of_one_are_looked_at(
    page: bytes, said: str, below: str, tmp_path: Path
) -> None:
    pilot = tmp_path / "repository" / below
    shutil.copytree(ROOT / "template/ci", pilot / "ci")
    (pilot / "README.md").write_bytes(page)
    commit(tmp_path / "repository", "Begin")
    command = [sys.executable, str(pilot / "ci/documents.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert said in done.stdout + done.stderr
    assert done.returncode == (0 if "0 mistakes" in said else 1)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("uv run pilot status --html FILE  # a page", None),
        ('pilot keys create caller --name "Ada --byron"', None),
        ("git commit --wrong", None),
        ("uv run pilot keys creates", "there is no command `pilot keys creates`"),
        ("docker compose exec pilot pilot modes", "there is no command `pilot modes`"),
        ("uv run pilot status --htm=FILE", "`pilot status` has no option --htm"),
    ],
)
def test_a_command_or_an_option_that_is_not_there_is_named(
    command: str, said: str | None, documents: ModuleType
) -> None:
    assert documents.unknown(command) == said


# Folders that the commands make in phases/, which is the team's.
MADE = ("phases/evidence/", "phases/3-decide/decisions/", "evidence/")
VARIANTS = [
    {},
    {"approach": "buy", "ci": "gitlab"},
    {"ci": "gitlab", "regulated": True},
    {"approach": "buy", "regulated": True},
    {"task": "extract"},
    {"task": "draft", "approach": "buy"},
    {"task": "score"},
]


def dead(pilot: Path) -> Iterator[str]:
    """What the pages of a pilot name that is not there: where their links lead, and the paths in their text."""
    for page in sorted(pilot.rglob("*.md")):
        where, text = page.relative_to(pilot).as_posix(), page.read_text(encoding="utf-8")
        if where.startswith("pilot/"):
            continue
        for link in re.findall(r"\]\(([^)\s]+)", text):
            path, _, place = link.partition("#")
            target = page.parent / path if path else page
            if "://" not in link and not (target.exists() and (not place or place in anchors(target))):
                yield f"{where}: {link}"
        for path in re.findall(r"`(\.?\w[\w.-]*/[\w./*-]*)`", text):
            known = path in MADE or owners(path) == ["generated"]
            if not known and not any(next(folder.glob(path.rstrip("/")), None) for folder in (pilot, page.parent)):
                yield f"{where}: {path}"


@pytest.mark.parametrize("answers", VARIANTS, ids=str)
def test_what_the_pages_of_a_pilot_name_is_there(answers: dict[str, object], render: Render, tmp_path: Path) -> None:
    assert list(dead(render(tmp_path / "pilot", **answers))) == []


def test_what_is_not_there_is_named(render: Render, tmp_path: Path) -> None:
    pilot = render(tmp_path / "pilot")
    page = pilot / "runbook/README.md"
    gone = ("gone.md", "switch-off.md#gone", "#gone")
    links = " ".join(f"[x]({link})" for link in (*gone, "switch-off.md#verify", "#runbook", "https://example.org/x"))
    page.write_text(
        f"# Runbook\n\n{links} `ops/gone.yml` `.gitlab/` `.github/workflows/pilot-*.yml` `var/x.html` `/readyz`\n"
    )
    named = [*gone, "ops/gone.yml", ".gitlab/"]
    assert list(dead(pilot)) == [f"runbook/README.md: {what}" for what in named]


@pytest.mark.parametrize("answers", VARIANTS, ids=str)
def test_what_a_newcomer_tries_out_counts_for_no_gate(
    answers: dict[str, object], render: Render, tmp_path: Path
) -> None:
    readme = (render(tmp_path / "pilot", **answers) / "README.md").read_text(encoding="utf-8")
    made = re.findall(r"pilot keys create caller .*", readme)
    assert made
    assert [command for command in made if "--origin test" not in command] == []
