"""Replay: what a version of the model answers to history, chunk by chunk, in as many processes as are wanted, of this
machine or of a Ray cluster.

Each chunk is a file named by its range, written as a whole, so a replay that was broken off goes on where it was, and
one process or many leave the same files.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, func, select

from pilot.contract import Answer, Item, LocalModel, PilotError, Prediction, Team
from pilot.fields import one_label, scores
from pilot.frontmatter import replace_text
from pilot.models.store import at_version
from pilot.records.crypto import Vault
from pilot.records.database import open_database
from pilot.records.outcomes import is_final, latest
from pilot.records.rows import Chosen, Row, cells_for, check_columns, named_columns, read_rows
from pilot.records.tables import items, outcomes
from pilot.serving.inference import predict
from pilot.settings import Settings

# The sources that are the pilot's own live items: all, and those with a final decision.
LIVE, JUDGED = "live", "judged"
CHUNK = 1000
MANIFEST = "replay.json"
# A row of a source: its name, its item, which is None where the row is none, and what was decided, if that is known.
Asked = tuple[str, Item | None, Prediction | None]
# How many items of a chunk were answered, and the lines of its file.
Answered = tuple[int, str]


@dataclass(frozen=True)
class Source:
    """What is replayed: the live items, those with a final decision, or a file with its columns of input and final
    decision, if they are named."""

    name: str
    input: Chosen = None
    final: Chosen = None


@dataclass(frozen=True)
class Chunk:
    """A part of the source: its range, which names its file, and its rows, which are None where the range of the
    records is read: the line and the cells of each, or no cells where the row is damaged."""

    first: int
    last: int
    rows: tuple[tuple[int, dict[str, Any] | None], ...] | None = None

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.first:010}-{self.last:010}.jsonl"


Submit = Callable[[Chunk], "Future[Answered]"]


@dataclass
class Replayed:
    """How many items were answered, how many rows were none, how many answers failed, from how many the version had
    learned, and of the others with a final decision how many agree with it; of answers that are more than one label
    also the sum of the scores of each field."""

    items: int = 0
    refused: int = 0
    failed: int = 0
    trained: int = 0
    judged: int = 0
    right: int = 0
    scores: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Replay:
    """What is to be replayed: `load` gives the team in each process; the files go into `folder`."""

    load: Callable[[], Team]
    settings: Settings
    source: Source
    version: str
    folder: Path

    def run(self, workers: int, say: Callable[[int], Any], on: str | None = None) -> Replayed:
        """Answers what is not answered yet, in so many processes, and sums up all; `say` is told how many are done.
        The processes are of this machine, or of the Ray cluster whose address is `on`.

        Raises PilotError where the source cannot be read, the version does not load or is none of this pilot's own,
        the folder holds another replay, the cluster is not reached, or a process ends.
        """
        with at_version(self.settings, self.version) as chosen:
            if not isinstance(self.load().model(chosen), LocalModel):
                raise PilotError(
                    "A model behind an API is not replayed: `pilot model retrain` asks it for judged items."
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        with open_database(self.settings).connect() as connection:
            until = self._begun(connection)
            try:
                ahead = 2 * workers if on or workers > 1 else 0
                with _on_ray(self, workers, on) if on else _here(self, workers) as submit:
                    self._answered(self._chunks(connection, until), submit, ahead, say)
            except BrokenProcessPool as error:
                raise PilotError(
                    "A process of the replay ended, perhaps for want of memory. Run it again with fewer --workers; "
                    "what was answered stays."
                ) from error
        return self._summed()

    def answers(self, kind: type[Prediction]) -> dict[str, Answer]:
        """What was answered, by the names of the rows."""
        found: dict[str, Answer] = {}
        for told in self._told():
            if "refused" not in told:
                said = told["prediction"] and kind.model_validate(told["prediction"])
                found[told["id"]] = Answer(said, told["confidence"], failure=told["failure"], trained=told["trained"])
        return found

    def _answered(self, chunks: Iterator[Chunk], submit: Submit, ahead: int, say: Callable[[int], Any]) -> None:
        done, waiting = 0, deque[tuple[Chunk, Future[Answered]]]()

        def write() -> None:
            nonlocal done
            chunk, future = waiting.popleft()
            count, text = future.result()
            replace_text(self.folder / chunk.file, text)
            done += count
            say(done)

        for chunk in chunks:
            if (self.folder / chunk.file).exists():
                continue
            waiting.append((chunk, submit(chunk)))
            # What is read ahead stays small, whatever the source.
            if len(waiting) > ahead:
                write()
        while waiting:
            write()

    def _begun(self, connection: Connection) -> int:
        """The last live item of this replay, noted in the folder as it begins: later ones are no part of it."""
        source, newest = self.source, select(func.max(items.c.seq)).where(items.c.origin == "live")
        known: dict[str, Any] = {
            "source": source.name,
            "input": source.input if isinstance(source.input, str | None) else dict(source.input),
            "final": source.final if isinstance(source.final, str | None) else dict(source.final),
        }
        known |= {"version": self.version, "chunk": CHUNK}
        if source.name not in (LIVE, JUDGED):
            next(read_rows(Path(source.name)), None)
            check_columns(Path(source.name), [*named_columns(source.input), *named_columns(source.final)])
            with Path(source.name).open("rb") as stream:
                known["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
        file = self.folder / MANIFEST
        if not file.exists():
            noted = {**known, "until": connection.execute(newest).scalar() or 0}
            replace_text(file, orjson.dumps(noted, option=orjson.OPT_INDENT_2).decode())
        found = orjson.loads(file.read_bytes())
        if {name: found.get(name) for name in known} != known:
            raise PilotError(f"{self.folder} holds another replay, as its {MANIFEST} says. Name a folder with --out.")
        return int(found["until"])

    def _chunks(self, connection: Connection, until: int) -> Iterator[Chunk]:
        if self.source.name in (LIVE, JUDGED):
            last = 0
            while page := self._page(connection, last, until):
                yield Chunk(page[0], page[-1])
                last = page[-1]
            return
        rows, number = read_rows(Path(self.source.name)), 0
        while part := list(islice(rows, CHUNK)):
            cells = tuple((row.line, None if row.problem else row.cells) for row in part)
            yield Chunk(number + 1, number + len(part), cells)
            number += len(part)

    def _page(self, connection: Connection, after: int, until: int) -> list[int]:
        wanted = select(items.c.seq).where(items.c.origin == "live", items.c.seq > after, items.c.seq <= until)
        return list(connection.execute(wanted.order_by(items.c.seq).limit(CHUNK)).scalars())

    def _summed(self) -> Replayed:
        """The sum of all files, read line by line."""
        found = Replayed()
        for told in self._told():
            if "refused" in told:
                found.refused += 1
                continue
            found.items += 1
            found.failed += told["failure"] is not None
            if told["trained"]:  # its answer to that proves nothing
                found.trained += 1
                continue
            found.judged += "agrees" in told
            found.right += told.get("agrees", False)
            found.scores.update(told.get("scores", {}))
        return found

    def _told(self) -> Iterator[dict[str, Any]]:
        for file in sorted(self.folder.glob("*-*.jsonl")):
            with file.open("rb") as lines:
                yield from map(orjson.loads, lines)


class _Worker:
    """A process of the pool, which answers chunks with one version of the model."""

    def __init__(self, replay: Replay) -> None:
        self._replay, self._team = replay, replay.load()
        self._kept = ExitStack()
        model = self._team.model(self._kept.enter_context(at_version(replay.settings, replay.version)))
        assert isinstance(model, LocalModel)  # noqa: S101 - `run` saw to it
        self._model = model
        self._engine: Engine | None = None

    def answer(self, chunk: Chunk) -> Answered:
        """How many items a chunk has, and the lines of its file."""
        rows = self._recorded(chunk) if chunk.rows is None else [self._read(*row) for row in chunk.rows]
        asked = [item for _, item, _ in rows if item is not None]
        answers = iter(predict(self._model, asked, self._team.prediction) if asked else ())
        lines: list[dict[str, Any]] = []
        for name, item, final in rows:
            if item is None:
                lines.append({"id": name, "refused": True})
                continue
            made = next(answers)
            said = made.prediction and made.prediction.model_dump(mode="json")
            told: dict[str, Any] = {
                "id": name,
                "prediction": said,
                "confidence": made.confidence,
                "failure": made.failure,
                "trained": made.trained,
            }
            if made.confidences:
                told["confidences"] = made.confidences
            if final is not None:
                told["agrees"] = made.prediction is not None and made.prediction.agrees(final)
                if not one_label(self._team.prediction):
                    found = scores(made.prediction, final, self._team.prediction)
                    told["scores"] = {name: round(one.score, 4) for name, one in found.items()}
            lines.append(told)
        return len(asked), "".join(f"{orjson.dumps(line).decode()}\n" for line in lines)

    def _read(self, line: int, cells: dict[str, Any] | None) -> Asked:
        if cells is None:
            return str(line), None, None
        row, source = Row(line, "", cells), self._replay.source
        try:
            item: Item = cells_for(self._team.item, row, source.input)
        except ValidationError:
            return str(line), None, None
        try:
            return str(line), item, cells_for(self._team.prediction, row, source.final)
        except ValidationError:
            return str(line), item, None

    def _recorded(self, chunk: Chunk) -> list[Asked]:
        settings = self._replay.settings
        self._engine = self._engine or open_database(settings)
        vault, last = Vault(settings.data_keys), latest()
        joined = items.outerjoin(last, last.c.item_id == items.c.id).outerjoin(outcomes, is_final(last))
        wanted = select(items.c.id, items.c.content, items.c.erased_at, outcomes.c.final).select_from(joined)
        wanted = wanted.where(items.c.origin == "live", items.c.seq >= chunk.first, items.c.seq <= chunk.last)
        if self._replay.source.name == JUDGED:
            wanted = wanted.where(outcomes.c.final.is_not(None))
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(items.c.seq)).all()
        found: list[Asked] = []
        for row in rows:
            try:  # the contents may be erased, and the team's schema may have changed
                item = None if row.erased_at else self._team.item.model_validate_json(vault.open(row.content))
                final = row.final and self._team.prediction.model_validate_json(vault.open(row.final))
            except ValidationError:
                item = final = None
            found.append((row.id, item, final))
        return found


_worker: _Worker | None = None


def _begin(replay: Replay) -> None:
    global _worker
    _worker = _Worker(replay)


def _answer(chunk: Chunk) -> Answered:
    assert _worker is not None  # noqa: S101 - the pool has begun it
    return _worker.answer(chunk)


@contextmanager
def _here(replay: Replay, workers: int) -> Iterator[Submit]:
    if workers == 1:  # a process of its own takes longer to begin than most replays last
        worker = _Worker(replay)

        def answer(chunk: Chunk) -> Future[Answered]:
            done: Future[Answered] = Future()
            done.set_result(worker.answer(chunk))
            return done

        yield answer
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (replay,)) as pool:
        yield lambda chunk: pool.submit(_answer, chunk)


@contextmanager
def _on_ray(replay: Replay, workers: int, address: str) -> Iterator[Submit]:
    """So many processes of a cluster, each of which takes its share of the chunks in turn."""
    # Ray would send this folder to the cluster, its secrets too; the pilot's image is there.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    try:
        import ray
    except ImportError as error:
        raise PilotError(
            "--on needs Ray, of the cluster's version, which no pilot installs: "
            '`uv run --with "ray[client]" pilot replay ...`.'
        ) from error
    try:
        ray.init(address, logging_level="error", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PilotError(f"The Ray cluster {address} is not reached: {error}. Start it, or correct --on.") from error
    try:
        actor = ray.remote(_Worker)
        turns = cycle([actor.remote(replay) for _ in range(workers)])
        yield lambda chunk: next(turns).answer.remote(chunk).future()
    except ray.exceptions.RayError as error:
        raise PilotError(
            f"A process of the replay failed on the cluster: {str(error).splitlines()[-1]} The pilot, its model and "
            "the way to its database must be there. Run it again; what was answered stays."
        ) from error
    finally:
        ray.shutdown()
