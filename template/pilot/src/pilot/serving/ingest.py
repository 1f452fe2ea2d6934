"""Files through the pilot: every row becomes an item in the mode in force, or goes to quarantine with a reason."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection

from pilot.contract import Prediction
from pilot.records import outcomes, queries
from pilot.records.crypto import keyed_hash
from pilot.records.database import now
from pilot.records.outcomes import Outcome
from pilot.records.rows import Chosen, Row, cells_for, check_columns, columns_of, named_columns, read_rows, words_of
from pilot.records.writer import Record, Refusal, quarantine_rows
from pilot.serving.service import Service

CALLER = "ingest"
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold the item, the caller's own id, and the final decision."""

    input: Chosen = None
    id: str | None = None
    final: Chosen = None


@dataclass(slots=True)
class Counts:
    """Rows read = new + known + quarantined. `outcomes` counts decisions that were added. `first` is the line of the
    first row that was refused for a reason."""

    rows: int = 0
    new: int = 0
    known: int = 0
    outcomes: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)


async def ingest(
    service: Service, file: Path, columns: Columns, progress: Callable[[Counts], None] = lambda _: None
) -> Counts:
    """Takes a file through a started service. What was taken before is recognised, so it can be repeated at any time.

    Raises PilotError when the file cannot be read or has no such column.
    """
    check_columns(
        file, [*named_columns(columns.input), *([columns.id] if columns.id else []), *named_columns(columns.final)]
    )
    counts = Counts()
    seen: Counter[str] = Counter()
    records: list[tuple[int, Record]] = []
    refusals: list[Refusal] = []
    chunk = min(_CHUNK, service.settings.max_waiting)
    for row in read_rows(file):
        counts.rows += 1
        made = _record(service, row, columns, seen)
        if isinstance(made, Record):
            records.append((row.line, made))
        else:
            refusals.append(made)
        if len(records) + len(refusals) >= chunk:
            await _take(service, file, records, refusals, counts)
            progress(counts)
            records, refusals = [], []
    await _take(service, file, records, refusals, counts)
    progress(counts)
    return counts


def _record(service: Service, row: Row, columns: Columns, seen: Counter[str]) -> Record | Refusal:
    """The item of a row, or why it is none. Without an id, rows are identified by content and occurrence."""
    seen[row.digest] += 1
    refused = partial(Refusal, f"{row.digest}-{seen[row.digest]}", row.line)
    if row.problem:
        return refused(row.problem)
    try:
        item = cells_for(service.team.item, row, columns.input)
        decided = columns.final is not None or row.decided
        final = cells_for(service.team.prediction, row, columns.final) if decided else None
    except ValidationError as error:
        return refused(words_of(error))
    content = item.model_dump_json().encode()
    if columns.id is None:
        digest = service.fingerprint(orjson.dumps(_input(service, row, columns)))
        seen[digest] += 1
        source_id = f"row-{digest}-{seen[digest]}"
    else:
        given = row.cells.get(columns.id)
        if isinstance(given, float) and given.is_integer():  # as programs write ids that they took for numbers
            if abs(given) >= 2**53:
                return refused(f"{columns.id}: so long a number is rounded; write the id as a text, in quotes")
            given = int(given)
        # JSON has numbers and texts, and values that are no name of anything.
        source_id = str(given).strip() if isinstance(given, str | int) and not isinstance(given, bool) else ""
        if not source_id or len(source_id) > 200 or not source_id.isprintable():
            return refused(f"{columns.id}: an id needs 1 to 200 printable characters")
    moment, fingerprint = now(), keyed_hash(service.pepper, content + source_id.encode())
    mode, version = service.live.admit(fingerprint, CALLER)
    return Record(
        caller=CALLER,
        origin="live" if final is None else "backtest",
        mode=mode,
        item=item,
        content=content,
        fingerprint=fingerprint,
        request_id=uuid.uuid4().hex,
        arrived_at=moment,
        received_at=moment,
        source_id=source_id,
        rollout_version=version,
        final=final,
    )


def _input(service: Service, row: Row, columns: Columns) -> list[Any]:
    """The fields of the item as they are in the file: a schema may strip them."""
    cells = row.inside("input")
    return [cells.get(name) for name in columns_of(service.team.item, columns.input).values()]


async def _take(
    service: Service, file: Path, records: list[tuple[int, Record]], refusals: list[Refusal], counts: Counts
) -> None:
    replies = await asyncio.gather(*(service.decide(record, patient=True) for _, record in records))
    await service.drain()
    decided: list[tuple[str, Prediction]] = []
    for (line, record), reply in zip(records, replies, strict=True):
        if reply.differs:
            refusals.append(Refusal(f"id-{record.fingerprint}", line, "its id was used for another content"))
            continue
        counts.new += not reply.repeated
        counts.known += reply.repeated
        counts.outcomes += not reply.repeated and record.final is not None
        if reply.repeated and record.final is not None:
            decided.append((reply.id, record.final))
    if decided:
        counts.outcomes += await service.committer.call(partial(_judge, service, decided))
    await service.committer.call(lambda connection: quarantine_rows(connection, file.name[:200], refusals))
    counts.quarantined += len(refusals)
    counts.reasons.update(refusal.reason for refusal in refusals)
    for refusal in sorted(refusals, key=lambda refusal: refusal.line):
        counts.first.setdefault(refusal.reason, refusal.line)


def _judge(service: Service, decided: list[tuple[str, Prediction]], connection: Connection) -> int:
    """Adds final decisions to items that were taken before without one."""
    judged = queries.outcome_versions(connection, [item_id for item_id, _ in decided])
    added = 0
    for item_id, final in decided:
        if item_id not in judged:
            outcome = Outcome(final=final, made_by=CALLER)
            outcomes.judge(connection, service.vault, service.team.prediction, item_id, outcome)
            added += 1
    return added


def run(service: Service, file: Path, columns: Columns, progress: Callable[[Counts], None]) -> Counts:
    """Starts the service, takes the file through it, and stops it."""

    async def whole() -> Counts:
        await service.start()
        try:
            return await ingest(service, file, columns, progress)
        finally:
            await service.stop()

    return asyncio.run(whole())
