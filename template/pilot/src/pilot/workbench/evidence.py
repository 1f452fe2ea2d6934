"""The evidence that signatures and gates leave: small dated files, each with the hash of the one before it.

A file that was edited, removed from the middle or slipped in is seen. Whoever rewrites every file up to the last one
leaves a chain that holds; that is what the history of the repository is for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import orjson

from pilot.contract import PilotError
from pilot.frontmatter import Issue, replace_text

EVIDENCE = Path("phases/evidence")
RULE = "evidence-intact"
Kind = Literal["signature", "gate", "baseline", "decision", "drill", "backtest", "loadtest"]
_NEEDED: dict[str, set[str]] = {
    "signature": {"paper", "name", "email", "role", "sha256", "text"},
    "gate": {"gate", "begun", "decision_by"},
    "decision": {"decision", "because", "name", "paper", "sha256", "conditions", "override"},
    "backtest": {"begins", "ends", "items", "known_items", "calls", "unseen"},
    "drill": {"page", "fault", "restored_seconds", "by", "how"},
    "loadtest": {"profile", "target", "daily", "rate", "p95_ms", "kept", "by"},
    "baseline": {"n", "begins", "ends", "measured_by", "columns"},
}


@dataclass(frozen=True)
class Entry:
    """One file of evidence: its facts, and its own hash."""

    file: Path
    number: int
    kind: str
    date: date
    facts: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Chain:
    """The entries whose content is what was written, oldest first, and what is wrong with the folder."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)

    def passed(self, gate: int) -> Entry | None:
        """The evidence that a gate has passed; None before, and where it or an earlier file was altered."""
        found = next((entry for entry in self.entries if entry.kind == "gate" and entry.facts["gate"] == gate), None)
        broken = {problem.file for problem in self.problems}
        return found if found and not any(file <= (EVIDENCE / found.file.name).as_posix() for file in broken) else None


def digest(text: str) -> str:
    """The SHA-256 of a paper's text in hex; the same on every system's line ends."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def read(root: Path) -> Chain:
    """The evidence of the pilot in `root`."""
    chain = Chain()
    files = sorted((root / EVIDENCE).glob("*.json"))
    before: Entry | None = None
    for file in files:
        try:
            entry = _entry(file)
        except (OSError, ValueError, KeyError, TypeError):
            chain.problems.append(_problem(file, "cannot be read."))
            continue
        follows = (entry.number, entry.facts["previous"]) == ((before.number + 1, before.hash) if before else (1, None))
        if _hash(entry.facts) != entry.hash:
            chain.problems.append(_problem(file, "was altered after it was written."))
        elif not follows:
            chain.problems.append(_problem(file, "does not follow the one before it, which was altered or removed."))
        else:
            chain.entries.append(entry)
        before = entry
    return chain


def append(root: Path, kind: Kind, name: str, today: date, facts: dict[str, Any]) -> Path:
    """Writes the next file of evidence and returns its path. Raises PilotError where an earlier one was altered."""
    chain = read(root)
    if chain.problems:
        raise PilotError("The evidence must be fixed first:\n  " + "\n  ".join(map(str, chain.problems)))
    last = chain.entries[-1] if chain.entries else None
    if last and last.date > today:
        raise PilotError(
            f"Today is {today}, and {last.file.name} is of {last.date}. Set the clock of this machine right."
        )
    content = {
        "number": len(chain.entries) + 1,
        "kind": kind,
        "date": today.isoformat(),
        **facts,
        "previous": last.hash if last else None,
    }
    content["hash"] = _hash(content)
    file = root / EVIDENCE / f"{content['number']:04}-{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    return file


def _entry(file: Path) -> Entry:
    """The content of a file. Raises ValueError, KeyError or TypeError where it is none of evidence."""
    facts = orjson.loads(file.read_bytes())
    needed = _NEEDED[facts["kind"]] | {"previous"}
    if needed - facts.keys():
        raise KeyError(needed - facts.keys())
    return Entry(file, facts["number"], facts["kind"], date.fromisoformat(facts["date"]), facts, facts["hash"])


def _hash(content: dict[str, Any]) -> str:
    said = {name: value for name, value in content.items() if name != "hash"}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _problem(file: Path, what: str) -> Issue:
    fix = (
        "Bring it back from git: `git log -p -- phases/evidence` shows who changed it. Where two branches added "
        "files at once, remove those of one, and sign again."
    )
    return Issue((EVIDENCE / file.name).as_posix(), None, what, fix, RULE)
