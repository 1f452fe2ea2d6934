"""A fresh pilot on real input, Banking77: PILOT_TEST_BANKING77 names the folder of train.csv and test.csv."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers import Render, run

FOLDER = os.environ.get("PILOT_TEST_BANKING77")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="PILOT_TEST_BANKING77 names no folder with the data")
UV = os.environ.get("UV", "uv")
DAMAGED = [
    *[b"one,too,many\n"] * 6,
    *[b"only one\n"] * 6,
    *[b",card_arrival\n"] * 6,
    *[b"\xff\xfe is not UTF-8,card_arrival\n"] * 6,
    *[b'"the quote is never closed,card_arrival\n'] * 5,
    b"x" * 5_000_000 + b",card_arrival\n",
]


@pytest.fixture(scope="module")
def pilot(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot whose model was trained on the training set."""
    folder = render(tmp_path_factory.mktemp("banking") / "pilot")
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    pilot_says(folder, "model", "train", "--data", f"{FOLDER}/train.csv", "--input", "text", "--label", "category")
    return folder


def pilot_says(folder: Path, *words: str, database: str = "pilot") -> str:
    url = f"sqlite:///var/{database}.db"
    return run(UV, "run", "pilot", *words, cwd=folder, timeout=600, PILOT_DATABASE_URL=url)


def status(folder: Path, database: str = "pilot") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pilot_says(folder, "status", "--json", database=database))
    return found


def test_the_test_set_is_recorded_once_with_its_outcomes_and_the_model_agrees(pilot: Path) -> None:
    command = ("ingest", f"{FOLDER}/test.csv", "--input", "text", "--final", "category")
    assert "3080 accepted (3080 new, 0 recorded before), 0 quarantined; 3080 outcomes" in pilot_says(pilot, *command)
    found = status(pilot)
    assert (found["items"], found["by_origin"], found["coverage"]) == (3080, {"backtest": 3080}, 1.0)
    assert found["agreement"] >= 0.88
    assert "3080 accepted (0 new, 3080 recorded before), 0 quarantined; 0 outcomes" in pilot_says(pilot, *command)
    assert status(pilot) == found


def test_of_a_damaged_file_the_good_rows_are_recorded_and_the_others_quarantined(pilot: Path, tmp_path: Path) -> None:
    file = tmp_path / "damaged.csv"
    with open(f"{FOLDER}/test.csv", newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for number, row in enumerate(rows):
            if number % 100 == 50 and number // 100 < len(DAMAGED):
                stream.write(DAMAGED[number // 100].decode(errors="surrogateescape"))
            writer.writerow(row)
    said = pilot_says(pilot, "ingest", str(file), "--input", "text", "--final", "category", database="damaged")
    assert "3110 rows: 3080 accepted (3080 new, 0 recorded before), 30 quarantined" in said
    found = status(pilot, "damaged")
    assert (found["items"], found["quarantined"]) == (3080, 30)
