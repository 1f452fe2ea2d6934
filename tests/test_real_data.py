"""A fresh pilot on real input, Banking77: PILOT_TEST_BANKING77 names the folder of train.csv and test.csv."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from datetime import date, timedelta
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from banking import Team
from helpers import FULL, ROOT, run

FOLDER = os.environ.get("PILOT_TEST_BANKING77")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="PILOT_TEST_BANKING77 names no folder with the data")
UV = os.environ.get("UV", "uv")
DAMAGED = [
    *[b"one,too,many\n"] * 6,
    *[b"only one\n"] * 6,
    *[b",card_arrival\n"] * 6,
    *[b"\xff\xfe is not UTF-8,card_arrival\n"] * 6,
    *[b'"a quote "within" the text\nand a second line",card_arrival\n'] * 5,
    b"x" * 5_000_000 + b",card_arrival\n",
]


@pytest.fixture(scope="module")
def pilot(trained: tuple[Path, Team]) -> Path:
    """A pilot whose model was trained on the training set."""
    return trained[0]


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


ADA = "Ada Byron <ada@example.org>"
SIGNED = date.today() - timedelta(days=1)
END = SIGNED + timedelta(weeks=6)
DECISION = END + timedelta(weeks=1)


def words(text: str) -> tuple[str, ...]:
    """The words by which a model knows again what it learned from; all of this data is English."""
    return tuple(re.findall(r"\w+", text.casefold()))


@pytest.fixture(scope="module")
def recorded(pilot: Path) -> tuple[int, int]:
    """The test set as live items, with its outcomes; and how many answers are right of how many, counted by hand, those
    left out whose words are in the training set."""
    taken = ("ingest", f"{FOLDER}/test.csv", "--input", "text")
    assert "3080 accepted (3080 new, 0 recorded before)" in pilot_says(pilot, *taken, database="live")
    assert "3080 outcomes" in pilot_says(pilot, *taken, "--final", "category", database="live")
    with open(f"{FOLDER}/test.csv", newline="", encoding="utf-8") as stream:
        truth = {row["text"].strip(): row["category"] for row in csv.DictReader(stream)}
    with open(f"{FOLDER}/train.csv", newline="", encoding="utf-8") as stream:
        learned = {words(row["text"]) for row in csv.DictReader(stream)}
    with sqlite3.connect(pilot / "var" / "live.db") as connection:
        rows = connection.execute(
            "SELECT i.content, a.prediction FROM items i JOIN answers a ON a.item_id = i.id AND a.role = 'primary'"
        ).fetchall()
    said = [(json.loads(content)["text"].strip(), json.loads(answer)["label"]) for content, answer in rows]
    fair = [(text, label) for text, label in said if words(text) not in learned]
    assert 3000 < len(fair) < 3080
    return sum(truth[text] == label for text, label in fair), len(fair)


def sign_a_charter(folder: Path, target: float) -> None:
    """A charter that holds, with this target, signed as the first of this pilot."""
    papers = run(
        sys.executable,
        "-c",
        "import example_papers as e; print(e.CHARTER, e.CANDIDATES, sep='=====')",
        cwd=ROOT / "template" / "pilot" / "tests",
    )
    charter, candidates = papers.split("=====")
    was = "metric: cycle_time\nunit: hours\ndirection: down\ntarget: 9\n"
    assert was in charter
    charter = charter.replace(was, f"metric: accuracy\nunit: share\ndirection: up\ntarget: {target}\n")
    shutil.rmtree(folder / "phases" / "evidence", ignore_errors=True)
    place = folder / "phases" / "1-scope"
    (place / "charter.md").write_text(charter.replace("2027-03-01", DECISION.isoformat()), encoding="utf-8")
    (place / "candidates.csv").write_text(candidates, encoding="utf-8")
    # Of yesterday, before the items came: one of today would count none of them.
    signed = by_the_clock_of(folder, SIGNED, "sign", "charter", "--as", ADA, "--role", "owner")
    assert signed.returncode == 0, signed.stderr


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson (1927), written out."""
    z, share = 1.959963984540054, right / of
    middle, reach = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + (z / (2 * of)) ** 2)
    return (middle - reach) / (1 + z * z / of), (middle + reach) / (1 + z * z / of)


@pytest.mark.parametrize("target", [0.80, 0.90, 0.97] if FULL else [0.80, 0.97])
def test_the_verdict_is_what_a_computation_by_hand_finds(pilot: Path, recorded: tuple[int, int], target: float) -> None:
    right, of = recorded
    low, high = wilson(right, of)
    expected = ("MET", 0) if low >= target else ("MISSED", 10) if high < target else ("NOT PROVEN", 11)
    assert expected[0] == {0.80: "MET", 0.90: expected[0], 0.97: "MISSED"}[target]
    sign_a_charter(pilot, target)
    said, code = evaluated(pilot, DECISION)
    assert (said.splitlines()[0], code) == (f"verdict       {expected[0]}", expected[1])
    [shown] = re.findall(r"^estimate +(\S+) \[(\S+), (\S+)\]$", said, re.MULTILINE)
    assert shown == (f"{right / of:.4f}", f"{low:.4f}", f"{high:.4f}")
    assert f"n             {of} of {of} items have an outcome" in said
    assert f"Not counted: {3080 - of} items from which the version that answered them had learned." in said
    assert [evaluated(pilot, day)[1] for day in (END, END - timedelta(days=1))] == [expected[1], 12]
    assert status(pilot, "live")["origins"]["live"]["agreement"] == right / of


def by_the_clock_of(pilot: Path, day: date, *words: str) -> subprocess.CompletedProcess[str]:
    """What `pilot WORDS` says on that day."""
    (pilot / "var" / "clock").write_text(day.isoformat(), encoding="utf-8")
    command = [str(pilot / ".venv" / "bin" / "python"), str(Path(__file__).with_name("clock.py")), "pilot", *words]
    told = {"PILOT_DATABASE_URL": "sqlite:///var/live.db", "CLOCK": str(pilot / "var" / "clock"), "NO_COLOR": "1"}
    path = f"{pilot / '.venv' / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=pilot, env={**os.environ, **told, "PATH": path}, capture_output=True, text=True, timeout=300
    )


def evaluated(pilot: Path, day: date) -> tuple[str, int]:
    """What the command says on that day, and its exit code, which is not 0 for most verdicts."""
    done = by_the_clock_of(pilot, day, "evaluate")
    assert "Traceback" not in done.stderr
    return done.stdout, done.returncode


def test_the_report_on_a_missed_target_names_the_confusions(pilot: Path, recorded: tuple[int, int]) -> None:
    sign_a_charter(pilot, 0.97)
    for name in ("one.html", "two.html"):
        assert by_the_clock_of(pilot, DECISION, "report", "--out", name).returncode == 0
    page = (pilot / "one.html").read_bytes()
    assert page == (pilot / "two.html").read_bytes()
    text = page.decode()
    assert "The pilot has missed its target." in text
    assert "What the gap consists of" in text
    assert "More examples have been helping" in text or "It is not shown that more examples" in text
    assert len(re.findall(r'<tr><td data-label="The AI said">\w', text)) == 8
