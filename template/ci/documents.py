"""Runs the commands of README.md and the runbook, so that no page asks for a command that fails.

    uv run python ci/documents.py

A block of commands runs where the line above it says `<!-- ci -->`, in a clone of the last commit that is thrown away.
Each page gets a clean one, each block a shell of its own that stops at the first command that fails. A line
`<!-- not in ci: REASON -->` says why a block does not run. A mark without a block is a mistake. Whether it runs or not,
each `pilot` command of a block and its options must exist. Exit code: 0 all is well, 1 a block is wrong.

The template owns this file; an update replaces it. Extension points: README.md and own pages of the runbook.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilot.cli import app
from typer.main import get_command

MARK = re.compile(r"^<!-- (?:(?P<runs>ci)|not in ci: (?P<reason>\S.*)) -->$")
SECONDS = 600
# What a page puts before `pilot`, to run it here or in the container.
BEFORE = (["uv", "run"], ["docker", "compose", "exec", "pilot"])


@dataclass(frozen=True)
class Block:
    """Commands that a page shows: the page, the number of their first line, and whether CI runs them, or why not."""

    page: str
    line: int
    commands: str
    runs: bool
    reason: str | None


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page of Markdown: those fenced as bash or sh, and those indented by four blanks."""
    lines = text.split("\n")
    mark: re.Match[str] | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        begun = number + 1
        number += 1
        if re.fullmatch("```(bash|sh)", line):
            end = lines.index("```", number) if "```" in lines[number:] else len(lines)
            found, begun, number = lines[number:end], begun + 1, end + 1
        elif line.startswith("```"):
            number = lines.index("```", number) + 1 if "```" in lines[number:] else len(lines)
            mark = None
            continue
        elif line.startswith("    ") and line.strip() and not (begun > 1 and lines[begun - 2].strip()):
            while number < len(lines) and lines[number].startswith("    "):
                number += 1
            found = [part[4:] for part in lines[begun - 1 : number]]
        else:
            # A mark stands directly above its block, or with one empty line between them.
            mark = MARK.match(line) or (mark if not line.strip() else None)
            continue
        yield Block(page, begun, "\n".join(found), bool(mark and mark["runs"]), mark["reason"] if mark else None)
        mark = None


def alone(text: str, found: list[Block]) -> list[int]:
    """The lines with a mark that is no block's, such as one above a fence of another kind: its commands do not run."""
    marks = [number for number, line in enumerate(text.split("\n"), 1) if MARK.match(line.strip())]
    taken = {max(mark for mark in marks if mark < block.line) for block in found if block.runs or block.reason}
    return [mark for mark in marks if mark not in taken]


def pages(root: Path) -> list[Path]:
    return [file for file in (root / "README.md", *sorted((root / "runbook").glob("*.md"))) if file.is_file()]


def unknown(command: str) -> str | None:
    """What a command asks of `pilot` that it does not have, or None."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None  # The shell's own grammar, such as a quote that ends in another line: looked at where it runs.
    for before in BEFORE:
        if words[: len(before)] == before:
            words = words[len(before) :]
    if words[:1] != ["pilot"]:
        return None
    known: Any = get_command(app)
    path = ["pilot"]
    words = words[1:]
    while hasattr(known, "commands") and words and not words[0].startswith("-"):
        if words[0] not in known.commands:
            return f"there is no command `{' '.join([*path, words[0]])}`"
        path.append(words.pop(0))
        known = known.commands[path[-1]]
    options = {"--help"}.union(*(option.opts + option.secondary_opts for option in known.params))
    asked = [word.partition("=")[0] for word in words if re.match("--?[a-z]", word)]
    return next((f"`{' '.join(path)}` has no option {word}" for word in asked if word not in options), None)


def run(block: Block, folder: Path) -> str | None:
    """What is wrong with a block that runs, or None. It sees none of this process's settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PILOT_", "VIRTUAL_ENV"))}
    command = ["bash", "-euo", "pipefail", "-c", block.commands]
    try:
        code = subprocess.run(command, cwd=folder, env=ours, stdin=subprocess.DEVNULL, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        return f"it did not end within {SECONDS} s"
    return f"it ended with {code}" if code else None


def main() -> int:
    """Looks at every block, runs those that are marked, and returns the exit code."""
    root = Path(__file__).resolve().parent.parent
    # The pilot may be a folder of a larger repository.
    where = ["git", "rev-parse", "--show-toplevel", "--show-prefix"]
    top, below, *_ = subprocess.run(where, cwd=root, check=True, capture_output=True, text=True).stdout.split("\n")
    wrong: list[str] = []
    ran = looked_at = 0
    for file in pages(root):
        page = file.relative_to(root).as_posix()
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            wrong.append(f"{page}: it is not UTF-8")
            continue
        found = [*blocks(page, text)]
        looked_at += len(found)
        wrong += [f"{page}:{line}: no block of bash or sh is below this mark" for line in alone(text, found)]
        for block in found:
            lines = block.commands.replace("\\\n", " ").split("\n")
            wrong += [f"{page}:{block.line}: {what}" for line in lines if (what := unknown(line))]
        if not any(block.runs for block in found):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            clone = Path(scratch, "pilot")
            subprocess.run(["git", "clone", "--quiet", top, clone], check=True)
            for block in found:
                if block.runs:
                    print(f"{page}:{block.line}\n{block.commands}", flush=True)
                    ran += 1
                    if what := run(block, clone / below):
                        wrong.append(f"{page}:{block.line}: {what}")
    print(f"{ran} of {looked_at} blocks run, {len(wrong)} mistakes.")
    for one in wrong:
        print(one, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
