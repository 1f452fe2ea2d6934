"""Cost of an evaluation: reading the columns, the figures and the report, on 10^4, 10^5 and 10^6 live records.

    python benchmarks/evaluation.py [--sizes 10000 100000 1000000] [--groups] [--mode assist] [--metric accuracy]

Records are made up and written in bulk to a SQLite database, and read in a process of its own. No statement may name a
column of contents. Printed are the seconds of each step, the peak of memory above that of 200 records, and time and
memory for each record relative to the smallest size: 1.0 is linear, less is better.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pilot.records.database import migrate, open_database
from pilot.records.tables import answers, items, outcomes
from pilot.settings import load_settings
from pilot.workbench import columns
from pilot.workbench.evaluation import evaluate
from pilot.workbench.report import Report, html
from sqlalchemy import event, func, insert, select

START = datetime(2027, 1, 4, tzinfo=UTC)
DUE = date(2027, 3, 1)
CHUNK = 10_000
JUNK = b"contents that nobody may open" * 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of an evaluation of many records.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--groups", action="store_true", help="one group for every 50 items")
    parser.add_argument("--mode", choices=("shadow", "assist", "auto"), default="assist")
    parser.add_argument("--metric", choices=("accuracy", "cycle_time"), default="accuracy", help="that of the target")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measured(chosen.measure, chosen.metric)))
        return
    first: dict[str, Any] = {}
    print("records     read s  figures s  report s  peak MB  bytes/record  time/record  memory/record")
    for size in chosen.sizes:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), size, chosen.mode, chosen.groups)
            command = [sys.executable, __file__, "--measure", folder, "--metric", chosen.metric]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        total = found["read"] + found["figures"] + found["report"]
        first = first or {"time": total / size, "memory": found["peak"] / size}
        print(
            f"{size:>9,} {found['read']:>8.2f} {found['figures']:>10.2f} {found['report']:>9.2f} "
            f"{found['peak'] / 1e6:>8.0f} {found['peak'] / size:>13.0f} {total / size / first['time']:>12.2f} "
            f"{found['peak'] / size / first['memory']:>14.2f}"
        )


def measured(folder: Path, metric: str) -> dict[str, float]:
    """Seconds of each step, and the bytes by which the peak exceeds that of an evaluation of nothing."""
    seen: list[str] = []
    engine = open_database(load_settings(root=folder))

    @event.listens_for(engine, "before_cursor_execute")
    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        seen.append(statement)

    with engine.connect() as connection:  # which loads the libraries
        total = connection.execute(select(func.count()).select_from(items)).scalar_one()
        html(evaluated(columns.read(connection, START + timedelta(weeks=6) * (200 / total)), metric))
    before = peak()
    begun = time.perf_counter()
    with engine.connect() as connection:
        found = columns.read(connection)
    read = time.perf_counter()
    report = evaluated(found, metric)
    done = time.perf_counter()
    html(report)
    ended = time.perf_counter()
    contents = ("content", "prediction", "final", "comment", "response")
    assert not [name for name in contents if any(f".{name}" in statement for statement in seen)]
    return {"read": read - begun, "figures": done - read, "report": ended - done, "peak": peak() - before}


def evaluated(found: columns.Columns, metric: str) -> Report:
    charter: Any = SimpleNamespace(
        metric=metric, target=0.8, direction=None, judged_items=300, least_coverage=0.8, audit_share=None,
        interval="fixed", cost_of_hour=40.0,
        guardrails=[SimpleNamespace(metric="latency", direction="down", margin=1.0)],
    )  # fmt: skip
    before = {"accuracy": [1, 0, 1, 1] * 50, "cycle_time": [1.0, 2.0, 5.0] * 70, "cost_per_item": [3.0, 4.0] * 100}
    made = evaluate(found, charter, before, as_of=DUE, due=DUE)
    return Report("Benchmark", "EUR", made, found, before, 40.0, (), None, None)


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fill(folder: Path, size: int, mode: str, grouped: bool) -> None:
    engine = open_database(load_settings(root=folder))
    migrate(engine)
    draw = random.Random(size)
    with engine.connect() as connection:
        for start in range(0, size, CHUNK):
            rows = list(made(range(start, min(start + CHUNK, size)), mode, size // 50 if grouped else 0, draw, size))
            for table in (items, answers, outcomes):
                connection.execute(insert(table), [row for kind, row in rows if kind is table])
            connection.commit()
    engine.dispose()


def made(
    numbers: range, mode: str, groups: int, draw: random.Random, size: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    for n in numbers:
        name, at = f"{n:036d}", START + timedelta(weeks=6) * (n / size)
        audit = mode == "auto" and draw.random() < 0.05
        asked = mode != "auto" or audit or n % 5 == 0
        of_auto = "audit" if audit else "manual" if asked else None
        review = {"shadow": "blind", "assist": "assist", "auto": of_auto}[mode]
        yield items, {
            "id": name, "caller": "bench", "request_id": name, "fingerprint": name, "origin": "live",
            "arrived_at": at, "received_at": at, "content": JUNK, "mode": mode, "state": "done", "review": review,
            "status": "answered", "response": JUNK, "group": f"g{draw.randrange(groups)}" if groups else None,
        }  # fmt: skip
        for role in ("primary", "rules"):
            yield answers, {
                "item_id": name, "role": role, "source": "model", "prediction": JUNK, "confidence": draw.random(),
                "model_version": role, "config_hash": "x", "begun_at": at, "shown": False,
                "ended_at": at + timedelta(seconds=draw.random()), "cost": 0.01,
                "audit_probability": (0.05 if audit or not asked else 1.0) if mode == "auto" else None,
            }  # fmt: skip
        if asked and draw.random() < 0.97:
            yield outcomes, {
                "item_id": name, "version": 1, "final": JUNK, "made_by": "bench", "seconds": 30 + draw.random() * 60,
                "agreement": draw.random() < 0.85, "rules_agreement": draw.random() < 0.6,
                "at": at + timedelta(hours=draw.expovariate(0.5)),
            }  # fmt: skip


if __name__ == "__main__":
    os.environ.pop("PILOT_DATA_KEY", None)
    main()
