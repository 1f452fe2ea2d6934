"""The runbook's pages: what their front matter says, and the commands of their parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pilot.contract import PilotError
from pilot.frontmatter import parse, text_of

RUNBOOK = Path("runbook")
PARTS = ("Meaning", "User impact", "First look", "Mitigate", "Verify", "Roll back", "Escalate")
# Faults of a model of the pilot's own, and of one that is bought.
FAULT_OF = {"bad_model": "build", "unloadable_model": "build", "provider_down": "buy"}
_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Header(BaseModel):
    """The alerts that lead to the page, the fault by which it is drilled, in what time it restores the service, and
    after what time somebody else is called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alert: tuple[str, ...]
    fault: str | None
    restores_in: str
    escalate_after: str


@dataclass(frozen=True)
class Step:
    """A block of commands, and the lines that its output must contain."""

    commands: str
    expected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of the runbook."""

    name: str
    header: Header
    parts: dict[str, str]

    def steps(self, part: str) -> list[Step]:
        """The commands of a part, in their order."""
        found: list[Step] = []
        for kind, text in _BLOCK.findall(self.parts.get(part, "")):
            if kind == "bash":
                found.append(Step(text))
            elif found:
                found[-1] = Step(found[-1].commands, tuple(text.splitlines()))
        return found


def names(root: Path) -> list[str]:
    """The names of the pages of the pilot in `root`, in alphabetical order."""
    return sorted(file.stem for file in (root / RUNBOOK).glob("*.md") if file.name != "README.md")


def drillable(root: Path, approach: str) -> list[str]:
    """The names of the pages that name a fault which can be injected in a pilot that builds or buys its model."""
    faults = {name: read(root, name).header.fault for name in names(root)}
    return [name for name, fault in faults.items() if fault and FAULT_OF.get(fault, approach) == approach]


def read(root: Path, name: str) -> Page:
    """A page of the runbook. Raises PilotError where there is none of that name, or its front matter is wrong."""
    if name not in names(root):
        raise PilotError(f"The runbook has no page {name!r}. Its pages are: {', '.join(names(root))}.")
    file = RUNBOOK / f"{name}.md"
    document = parse(Header, text_of(root, file), file)
    headed = re.split(r"^## (.+)$", "\n".join(document.prose), flags=re.MULTILINE)[1:]
    return Page(name, document.facts, dict(zip(headed[::2], headed[1::2], strict=True)))
