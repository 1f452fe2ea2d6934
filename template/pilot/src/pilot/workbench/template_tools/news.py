"""What a newer version brings: its changelog, its new questions, and what the team's own files would look like, were
the pilot rendered today, because an update never touches them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilot.contract import PilotError
from pilot.workbench.template_tools.compare import patch, same
from pilot.workbench.template_tools.origin import Origin, Render

PAPERS = "phases/"
# Where a version of the wrapper keeps the papers that it can add.
BLANK = Path("pilot/src/pilot/workbench/documents/blank")


@dataclass(frozen=True)
class Seed:
    """A file of the team's that a new pilot would get otherwise, or that it has and this one has not."""

    path: str
    # "new": the pilot's version did not render it, and it is not here. "changed": the template changed it since the
    # pilot's version. "absent" and "differs": it did not, so that the team deleted or edited it, or an earlier version.
    what: str
    added: int
    removed: int
    # How `pilot paper add` calls it, where it is a paper of those.
    paper: str | None


def look(root: Path, then: Render, now: Render) -> list[Seed]:
    """The seeds of the newest version that are not in the pilot in `root` as they are in it, the news first.

    `then` is a render of the pilot's version and `now` one of the newest.
    """
    found = []
    for path in now.owned("seed"):
        if same(root / path, now.folder / path):
            continue
        here = (root / path).is_file()
        if same(then.folder / path, now.folder / path):
            what = "differs" if here else "absent"
        else:
            what = "changed" if here or (then.folder / path).is_file() else "new"
        paper = path.removeprefix(PAPERS) if path.startswith(PAPERS) and not here else None
        if paper is not None and not (now.folder / BLANK / paper).is_file():
            paper = None
        found.append(Seed(path, what, *_lines(patch(root, now.folder, path)), paper))
    order = ("new", "changed", "absent", "differs")
    return sorted(found, key=lambda seed: (order.index(seed.what), seed.path))


@dataclass(frozen=True)
class Defaulted:
    """A question that the pilot was never asked: its name, the default that answers it, and its wording."""

    name: str
    answer: Any
    wording: str

    def __str__(self) -> str:
        return f"New question, answered by its default: {self.name} = {self.answer!r}. {self.wording}".rstrip()


def questions(before: dict[str, Any], after: dict[str, Any], config: dict[str, Any]) -> list[Defaulted]:
    """What a version of the template, whose copier.yml is `config`, asks beyond the answers `before`, with the answers
    `after`."""
    new = (name for name in after if name not in before and not name.startswith("_"))
    return [
        Defaulted(name, after[name], " ".join(str((config.get(name) or {}).get("help", "")).split())) for name in new
    ]


def changes(origin: Origin, since: str, until: str) -> str:
    """The sections of the template's changelog for the versions after `since`, up to `until`; empty where there are
    none, or no changelog.

    A version that was never released (`v0.1.0-3-g1234567`) counts as the release before it.
    """
    try:
        return sections(origin.text(until, "CHANGELOG.md"), since, until)
    except PilotError:
        return ""


def sections(changelog: str, since: str, until: str) -> str:
    """Those of a changelog whose headings, such as `## 0.2.0 (2026-11-25)`, name a version after `since`, up to
    `until`."""
    parts = ("\n" + changelog).split("\n## ")[1:]
    low, high = number(since), number(until)
    return "\n\n".join(f"## {part.strip()}" for part in parts if low < number(part) <= high)


def number(version: str) -> tuple[int, ...]:
    """`v0.2.0` as (0, 2, 0); what is no version comes before all."""
    found = []
    for word in version.split()[0].removeprefix("v").split("-")[0].split(".")[:3] if version.split() else []:
        if not word.isdecimal():
            break
        found.append(int(word))
    return tuple(found)


def _lines(difference: str) -> tuple[int, int]:
    """How many lines a patch adds and removes."""
    body = difference.partition("\n@@")[2].splitlines()[1:]
    return sum(line.startswith("+") for line in body), sum(line.startswith("-") for line in body)
