"""Whatever stands in a file that people or machines wrote: it is read, or a PilotError tells what is wrong."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from example_papers import CANDIDATES, CHARTER, sign, write
from example_short import text as short
from example_team import make_team
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot.charter import read_charter, read_objectives
from pilot.contract import PilotError
from pilot.models.examples import read_examples
from pilot.models.store import load_active
from pilot.operations import load
from pilot.operations.backup import backup, restore
from pilot.records import audit
from pilot.records.database import migrate, open_database
from pilot.settings import load_settings
from pilot.workbench import card, decision, evidence
from pilot.workbench.documents import (
    baseline,
    candidates,
    charter_rules,
    costs,
    files,
    gaps,
    interviews,
    operations,
    runbook,
)
from pilot.workbench.pilot import Pilot

TEMPLATE = Path(__file__).resolve().parents[2]
TODAY = date(2027, 2, 12)
ITEMS = b'text,label\nwhere is my money,refund\n"two\nlines",other\n'


@dataclass(frozen=True)
class Parser:
    """A file that is read, as it should be, and who reads it."""

    file: str
    good: bytes
    read: Callable[[Path, Path], Any]


def _of_charter(root: Path, _: Path) -> Any:
    read_charter(root)
    return charter_rules.issues(charter_rules.read(root), TODAY)


def _of_short(name: str) -> Parser:
    kind = operations.DOCUMENTS[name]
    return Parser(
        kind.file.as_posix(),
        short(name).encode(),
        lambda root, _: (operations.issues(root, name, TODAY), operations.read(root, name).page),
    )


def _examples(root: Path, file: Path) -> Any:
    return read_examples(make_team("right", root / "calls"), file, None, None)


def _evidence(root: Path, _: Path) -> Any:
    chain = evidence.read(root)
    return (
        decision.changes(root, chain),
        Pilot(root, TODAY).signatures,
        evidence.append(root, "gate", "gate-1", TODAY, GATE),
    )


def _restore(root: Path, file: Path) -> Any:
    (root / "again.db").unlink(missing_ok=True)
    return restore(load_settings(root=root, database_url=f"sqlite:///{root}/again.db"), file)


def _trail(_: Path, file: Path) -> Any:
    return audit.flaw(audit.read_entries(file), {})


GATE = {"gate": 1, "begun": "2027-01-11", "decision_by": "2027-03-01"}
BASELINE = b"id,measured_on,measured_by,seconds,correct,cost,touches\nA-1,2027-01-04,team,300,yes,4,2\n"
TALK = b"---\ndate: 2027-02-01\nrole: lead\nhelped: yes\nnew_problems: none\nagain: yes\n---\n\nIt did.\n"
SLO = b"availability = 0.99\nlatency_p95_ms = 250\n\n[load]\nburst = 5\n"
ENTRY = {
    "seq": 1,
    "at": "2027-02-01T08:00:00+00:00",
    "actor": "ada",
    "event": "mode.set",
    "detail": "{}",
    "previous": "0" * 64,
    "hash": "1" * 64,
}
CARD = b"---\nwritten: '2027-02-12'\nmodel: a\nsettings:\n  database: SQLite\nsources:\n  a.py: '1'\n---\n\n# A card\n"
PARSERS = {
    "charter": Parser("phases/1-scope/charter.md", CHARTER.encode(), _of_charter),
    "candidates": Parser("phases/1-scope/candidates.csv", CANDIDATES.encode(), lambda root, _: candidates.read(root)),
    "all documents": Parser("phases/1-scope/charter.md", CHARTER.encode(), lambda root, _: files.unreadable(root)),
    "objectives": Parser("phases/4-harden/slo.toml", SLO, lambda root, _: read_objectives(root)),
    "baseline": Parser("phases/2-build/baseline.csv", BASELINE, lambda root, _: baseline.read_all(root)),
    "import of a table": Parser("in.csv", BASELINE, lambda root, file: baseline.import_file(root, file, TODAY)),
    "import of lines": Parser(
        "in.jsonl",
        b'{"id": "A-1", "measured_on": "2027-01-04", "measured_by": "team", "seconds": 300, "correct": true}\n',
        lambda root, file: baseline.import_file(root, file, TODAY),
    ),
    "interview": Parser("phases/3-decide/interviews/1.md", TALK, lambda root, _: interviews.read(root, TODAY)),
    "costs": Parser(
        "phases/3-decide/costs.toml",
        (TEMPLATE / "pilot/src/pilot/workbench/documents/blank/3-decide/costs.toml").read_bytes(),
        lambda root, _: costs.read(root),
    ),
    "gaps": Parser(
        "phases/3-decide/gaps.csv",
        b"id,what,severity,days,owner,state,evidence,note\nnone,failover,later,3,Tom Reed,open,,nothing\n",
        lambda root, _: gaps.listed_in(root, TODAY),
    ),
    **{name: _of_short(name) for name in operations.DOCUMENTS},
    "runbook": Parser(
        "runbook/garbage.md",
        (TEMPLATE / "runbook/garbage.md").read_bytes(),
        lambda root, _: runbook.read(root, "garbage"),
    ),
    "evidence": Parser("phases/evidence/0001-signature-charter-owner.json", b"", _evidence),
    "system card": Parser(card.CARD.as_posix(), CARD, lambda root, _: (card.stale(root), card.read(root))),
    "audit entries": Parser("trail.jsonl", orjson.dumps(ENTRY), _trail),
    "examples of a table": Parser("data.csv", ITEMS, _examples),
    "examples of lines": Parser("data.jsonl", b'{"text": "money", "label": "refund"}\n', _examples),
    "profiles": Parser(
        "loadtest/profiles.toml",
        (TEMPLATE / "loadtest/profiles.toml").read_bytes(),
        lambda root, _: load.profiles(root),
    ),
    "model in force": Parser(
        "var/models/active", b"0123456789abcdef", lambda root, _: load_active(load_settings(root=root))
    ),
    "backup": Parser("records.pilot", b"", _restore),
}

NASTY = [
    "\x00",
    "\ufeff",
    "\r",
    "\n",
    ",",
    '"',
    "'",
    "---\n",
    ": ",
    "[",
    "{",
    "&a",
    "*a",
    "!!python/object:os.system",
    "💥",
    "\ud7ff",
]
NASTY += [
    "9" * 400,
    "1e999",
    "nan",
    "-1",
    "2027-02-30",
    "null",
    "true",
    "[[",
    "#",
    "\t",
    "%",
    "{charter}",
    "0x1F",
    "é" * 70,
]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 40), st.sampled_from(NASTY) | st.text(max_size=8) | st.binary(max_size=4)
    ),
    min_size=1,
    max_size=4,
)


def edited(good: bytes, edits: list[tuple[float, int, Any]]) -> bytes:
    """The bytes with so many replaced at each place."""
    for place, length, new in edits:
        at = int(place * len(good))
        added = new if isinstance(new, bytes) else new.encode("utf-8", "surrogatepass")
        good = good[:at] + added + good[at + length :]
    return good


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot whose files are all in order."""
    root = tmp_path_factory.mktemp("parsers")
    write(root)
    sign(root)
    for parser in PARSERS.values():
        (root / parser.file).parent.mkdir(parents=True, exist_ok=True)
        if parser.good and not (root / parser.file).exists():
            (root / parser.file).write_bytes(parser.good)
    known = load_settings(root=root)
    engine = open_database(known)
    migrate(engine)
    engine.dispose()
    backup(known, root / PARSERS["backup"].file)
    return root


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=700, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS, whole_new=st.none() | st.binary(max_size=60) | st.text(max_size=60))
def test_a_file_is_read_or_a_message_tells_what_is_wrong(
    name: str, whole: Path, tmp_path_factory: pytest.TempPathFactory, edits: Any, whole_new: bytes | str | None
) -> None:
    parser = PARSERS[name]
    root = tmp_path_factory.mktemp("one")
    shutil.copytree(whole, root, dirs_exist_ok=True)
    file = root / parser.file
    good = file.read_bytes()
    if isinstance(whole_new, str):
        whole_new = whole_new.encode("utf-8", "surrogatepass")
    if good[:2] == b"\x1f\x8b" and whole_new is None:
        content = gzip.compress(edited(gzip.decompress(good), edits))
    else:
        content = edited(good, edits) if whole_new is None else whole_new
    file.write_bytes(content)
    with contextlib.suppress(PilotError):
        parser.read(root, file)
    shutil.rmtree(root)


@pytest.mark.parametrize("name", PARSERS)
def test_the_file_as_it_should_be_is_read(name: str, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    if name != "model in force":
        PARSERS[name].read(tmp_path, tmp_path / PARSERS[name].file)
