"""The process before the AI: importing it, freezing it, and seeing that it was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot.contract import PilotError
from pilot.workbench import evaluation, evidence
from pilot.workbench.checks import broken
from pilot.workbench.documents import baseline, operations
from pilot.workbench.documents.baseline import COLUMNS, MEASURES, Measurement, read_all
from pilot.workbench.pilot import Pilot

TODAY = date(2026, 11, 23)
HEADER = ",".join(COLUMNS)
ROWS = [
    "A-1,2026-10-05,Ada Byron,540,yes,4.20,2",
    "A-2,2026-10-06,Ada Byron,600,no,5,3",
    "A-3,2026-10-19,Bob Ross,480.5,yes,,1",
]


def paper(root: Path, text: str) -> Path:
    file = root / baseline.BASELINE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def measured(root: Path, *rows: str, header: str = HEADER, name: str = "measured.csv") -> Path:
    file = root / name
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot whose charter has a metric and whose baseline is still the seed."""
    charter = tmp_path / "phases" / "1-scope" / "charter.md"
    charter.parent.mkdir(parents=True)
    charter.write_text("---\nmetric: cycle_time\n---\n")
    paper(tmp_path, HEADER + "\n")
    return tmp_path


@pytest.fixture
def frozen(root: Path) -> Path:
    """The same, with three rows that are frozen."""
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    baseline.freeze(root, TODAY)
    return root


def refusals(root: Path, *rows: str, header: str = HEADER) -> list[str]:
    report = baseline.import_file(root, measured(root, *rows, header=header), TODAY)
    assert report.rows == report.new + report.known + len(report.refused)
    return [f"line {issue.line}: {issue.what} {issue.fix}" for refused in report.refused for issue in refused.issues]


def test_the_seed_is_an_empty_baseline() -> None:
    seed = operations.BLANK / baseline.BASELINE.relative_to("phases")
    assert seed.read_text(encoding="utf-8").splitlines()[0] == HEADER


def test_rows_are_imported_once(root: Path) -> None:
    file = measured(root, *ROWS)
    first = baseline.import_file(root, file, TODAY)
    assert (first.rows, first.new, first.known, first.refused) == (3, 3, 0, [])
    kept = (root / baseline.BASELINE).read_bytes()
    again = baseline.import_file(root, file, TODAY)
    assert (again.rows, again.new, again.known, again.refused) == (3, 0, 3, [])
    assert (root / baseline.BASELINE).read_bytes() == kept
    assert kept.decode().splitlines()[1:] == [
        "A-1,2026-10-05,Ada Byron,540,yes,4.2,2",
        "A-2,2026-10-06,Ada Byron,600,no,5,3",
        "A-3,2026-10-19,Bob Ross,480.5,yes,,1",
    ]


def test_json_lines_give_the_same_rows(root: Path) -> None:
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    file = root / "measured.jsonl"
    row = {"id": "A-1", "measured_on": "2026-10-05", "measured_by": "Ada Byron", "seconds": 540.0, "correct": True}
    file.write_text(json.dumps({**row, "cost": 4.2, "touches": 2}) + "\n")
    assert baseline.import_file(root, file, TODAY).known == 1


def test_rows_without_an_id_are_known_by_content_and_occurrence(root: Path) -> None:
    header = HEADER.removeprefix("id,")
    same = ROWS[0].removeprefix("A-1,")
    file = measured(root, same, same, header=header)
    file.write_bytes(file.read_bytes().rstrip())
    assert baseline.import_file(root, file, TODAY).new == 2
    grown = baseline.import_file(root, measured(root, same, same, same, header=header), TODAY)
    assert (grown.new, grown.known) == (1, 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('B-1,2026-10-05,Ada,"12,5",yes,,', "line 3: seconds: Input should be a valid number"),
        ("B-1,2026-10-05,Ada,-1,yes,,", "line 3: seconds: Input should be "),
        ("B-1,2026-10-05,Ada,nan,yes,,", "line 3: seconds: Input should be "),
        ("B-1,2026-10-05,Ada,1_000,yes,,", "line 3: seconds: is no number. Write a number"),
        ("B-1,2026-10-05,Ada,,yes,,1_0", "line 3: touches: is no number. Write a whole number"),
        ("B-1,2026-10-05,Ada,,perhaps,,", "line 3: correct: Input should be a valid boolean"),
        ("B-1,2026-10-05,Ada,,,x,", "line 3: cost: Input should be a valid number"),
        ("B-1,2026-10-05,Ada,,,,1.5", "line 3: touches: Input should be a valid integer"),
        ("B-1,5.10.2026,Ada,1,,,", "line 3: measured_on: Input should be a valid date such as"),
        ("B-1,1700000000,Ada,1,,,", "line 3: measured_on: Input should be a valid date"),
        ("B-1,2026-11-24,Ada,1,,,", "line 3: measured_on: 2026-11-24 is still to come"),
        ("B-1,2026-10-05,,1,,,", "line 3: measured_by: String should have at least 1 character. Write the name"),
        ("B-1,2026-10-05,Ada,,,,", "line 3: measures nothing. Fill one of seconds, correct, cost, touches"),
        ("B-1,2026-10-05,Ada,1", "line 3: has 4 columns instead of 7"),
        ("A-1,2026-10-05,Ada Byron,541,yes,4.20,2", "line 3: id: A-1 is in the baseline with other values"),
    ],
)
def test_a_bad_row_is_refused_with_line_and_mend_and_spoils_no_other(root: Path, row: str, reason: str) -> None:
    found = refusals(root, ROWS[0], row, ROWS[1])
    assert len(found) == 1
    assert found[0].startswith(reason)
    assert len(read_all(root)) == 2


def test_a_misspelt_column_is_named_with_the_right_one(root: Path) -> None:
    found = refusals(root, "A-1,2026-10-05,Ada,3", header="id,measured_on,measured_by,secnds")
    assert found == ["line 2: secnds: is not known. Did you mean seconds?"]


def test_a_missing_column_is_named(root: Path) -> None:
    found = refusals(root, "A-1,2026-10-05,3", header="id,measured_on,seconds")
    assert found == ["line 2: measured_by: Field required. Write the name of who measured, in 1 to 200 characters."]


def test_a_baseline_that_was_broken_by_hand_is_told_with_file_and_line(root: Path) -> None:
    paper(root, f"{HEADER}\n{ROWS[0]}\nA-2,2026-10-06,Ada,many,,,\n{ROWS[0]}\n")
    with pytest.raises(PilotError) as told:
        read_all(root)
    assert "phases/2-build/baseline.csv:3: seconds: Input should be a valid number" in str(told.value)
    assert "phases/2-build/baseline.csv:4: id: A-1 is there twice" in str(told.value)


def test_a_frozen_baseline_has_date_count_period_and_people(frozen: Path) -> None:
    found = Pilot(frozen, TODAY).frozen
    assert found is not None
    assert (found.on, found.n) == (TODAY, 3)
    assert (found.begins, found.ends) == (date(2026, 10, 5), date(2026, 10, 19))
    assert found.measured_by == ("Ada Byron", "Bob Ross")
    assert found.file.parent == evidence.EVIDENCE
    assert Pilot(frozen, TODAY).baseline_changes == []


def test_its_period_must_end_before_the_first_answer(frozen: Path) -> None:
    found = Pilot(frozen, TODAY).frozen
    assert found is not None
    assert found.precedes(date(2026, 10, 20))
    assert not found.precedes(date(2026, 10, 19))


def test_an_unchanged_baseline_is_frozen_once(frozen: Path) -> None:
    assert baseline.freeze(frozen, date(2026, 11, 30)).on == TODAY
    assert len(list((frozen / evidence.EVIDENCE).iterdir())) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("540", "440", "other seconds."),
        ("no", "yes", "other correct."),
        ("4.2,", "4.3,", "other cost."),
        (",1\n", ",2\n", "other touches."),
        ("2026-10-19", "2026-10-18", "other measured_on."),
        ("Bob Ross", "Bob Rose", "other measured_by."),
        ("A-3", "A-4", "other rows (one was replaced)."),
        ("A-1,2026-10-05,Ada Byron,540,yes,4.2,2\n", "", "other rows (3 then, 2 now)."),
        ("540", "fast", "can no longer be read. "),
    ],
)
def test_a_change_after_the_freeze_is_named(frozen: Path, old: str, new: str, told: str) -> None:
    file = frozen / baseline.BASELINE
    text = file.read_text()
    assert old in text
    paper(frozen, text.replace(old, new))
    (problem,) = Pilot(frozen, TODAY).baseline_changes
    assert f"was changed after it was frozen on 2026-11-23: {told}" in str(problem)
    assert "pilot baseline freeze" in problem.fix
    paper(frozen, text)
    assert Pilot(frozen, TODAY).baseline_changes == []


def test_a_removed_baseline_is_a_change(frozen: Path) -> None:
    (frozen / baseline.BASELINE).unlink()
    assert "3 then, 0 now" in str(Pilot(frozen, TODAY).baseline_changes[0])


def test_line_ends_the_order_of_rows_and_how_a_number_is_written_are_no_change(frozen: Path) -> None:
    header, *rows = (frozen / baseline.BASELINE).read_text().replace("540", "540.00").splitlines()
    paper(frozen, "\r\n".join([header, *reversed(rows)]) + "\r\n")
    assert Pilot(frozen, TODAY).baseline_changes == []


def test_a_baseline_that_grew_is_frozen_anew_and_both_stay_on_record(frozen: Path) -> None:
    baseline.import_file(frozen, measured(frozen, "A-4,2026-10-30,Ada,1,,,"), TODAY)
    assert "3 then, 4 now" in str(Pilot(frozen, TODAY).baseline_changes[0])
    found = baseline.freeze(frozen, date(2026, 11, 24))
    assert (found.on, found.n, found.ends) == (date(2026, 11, 24), 4, date(2026, 10, 30))
    assert Pilot(frozen, TODAY).baseline_changes == []
    assert [entry.facts["n"] for entry in evidence.read(frozen).entries] == [3, 4]


def test_evidence_that_was_altered_freezes_nothing(frozen: Path) -> None:
    (file,) = (frozen / evidence.EVIDENCE).iterdir()
    file.write_text(file.read_text().replace('"n": 3', '"n": 300'))
    assert Pilot(frozen, TODAY).frozen is None
    with pytest.raises(PilotError, match="evidence must be fixed"):
        baseline.freeze(frozen, TODAY)


def test_an_altered_later_freeze_does_not_bring_back_the_earlier_one(frozen: Path) -> None:
    baseline.import_file(frozen, measured(frozen, "A-4,2026-10-30,Ada,1,,,"), TODAY)
    later = frozen / baseline.freeze(frozen, TODAY).file
    later.write_text(later.read_text().replace('"n": 4', '"n": 40'))
    assert Pilot(frozen, TODAY).frozen is None


def test_a_change_of_a_frozen_baseline_breaks_a_promise_and_one_before_does_not(root: Path) -> None:
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    edited = (root / baseline.BASELINE).read_text().replace("540", "440")
    paper(root, edited)
    assert broken(Pilot(root, TODAY)) == []
    baseline.freeze(root, TODAY)
    assert broken(Pilot(root, TODAY)) == []
    paper(root, edited.replace("440", "540"))
    (problem,) = broken(Pilot(root, TODAY))
    assert problem.file == "phases/2-build/baseline.csv"
    assert "other seconds" in problem.what


def test_nothing_is_not_frozen(root: Path) -> None:
    with pytest.raises(PilotError, match=r"has no rows.*pilot baseline import FILE"):
        baseline.freeze(root, TODAY)
    paper(root, f"{HEADER}\nA-1,2026-12-24,Ada,1,,,\n")
    with pytest.raises(PilotError, match="2026-12-24, which is still to come"):
        baseline.freeze(root, TODAY)
    assert Pilot(root, TODAY).frozen is None
    assert not (root / evidence.EVIDENCE).exists()


@pytest.mark.parametrize(("metric", "measure"), baseline.MEASURE_OF.items())
def test_a_baseline_without_the_measure_of_the_charter_is_not_frozen(root: Path, metric: str, measure: str) -> None:
    (root / "phases" / "1-scope" / "charter.md").write_text(f"---\nmetric: {metric}\n---\n")
    cells = {"seconds": "9", "correct": "yes", "cost": "1", "touches": "2"}
    without = ",".join("" if name == measure else cells[name] for name in MEASURES)
    paper(root, f"{HEADER}\nA-1,2026-10-05,Ada,{without}\n")
    with pytest.raises(PilotError, match=f"the charter's metric is {metric}, and no row has {measure}"):
        baseline.freeze(root, TODAY)
    baseline.import_file(root, measured(root, "A-2,2026-10-05,Ada,9,yes,1,2"), TODAY)
    assert baseline.freeze(root, TODAY).n == 2


def test_figures_count_what_is_missing(root: Path) -> None:
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    found = evaluation.measures(read_all(root))
    assert (found["cost"].n, found["cost"].missing) == (2, 1)
    assert found["seconds"].statistics["median"].value == 540
    assert found["seconds"].statistics["mean"].value == pytest.approx(540.1667, abs=1e-3)
    share = found["correct"].statistics["share"]
    assert share.value == pytest.approx(2 / 3)
    assert share.interval == (pytest.approx(0.2077, abs=5e-5), pytest.approx(0.9385, abs=5e-5))


def test_spreads_are_in_the_units_of_the_charter(root: Path) -> None:
    assert baseline.spreads(baseline.read_all(root)) == {}
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    found = baseline.spreads(baseline.read_all(root))
    assert found["cycle_time"] == pytest.approx(59.7502 / 3600, abs=1e-6)
    assert found["manual_touches"] == 1
    assert found["cost_per_item"] == pytest.approx(0.5657, abs=1e-4)


measurements = st.builds(
    Measurement,
    id=st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=20),
    measured_on=st.dates(date(2020, 1, 1), TODAY).map(str),
    measured_by=st.text("AdaByron ,\"';=", min_size=1, max_size=20).map(lambda name: f"x{name}x"),
    seconds=st.floats(0, 1e9).map(lambda value: float(f"{value:.15g}")),
    correct=st.none() | st.booleans(),
    cost=st.none() | st.floats(0, 1e6).map(lambda value: float(f"{value:.15g}")),
    touches=st.none() | st.integers(0, 100),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(measurements, max_size=8, unique_by=lambda row: row.id))
def test_what_is_imported_reads_back_the_same(tmp_path: Path, rows: list[Measurement]) -> None:
    (tmp_path / baseline.BASELINE).unlink(missing_ok=True)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    assert baseline.import_file(tmp_path, file, TODAY).new == len(rows)
    assert read_all(tmp_path) == rows
    assert baseline.import_file(tmp_path, file, TODAY).known == len(rows)
    csv_file = tmp_path / baseline.BASELINE
    if rows:
        assert baseline.import_file(tmp_path, csv_file, TODAY).known == len(rows)


def pilot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilot.cli", "baseline", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_verbs_tell_what_became_of_the_rows_and_what_to_do_next(root: Path) -> None:
    below = root / "phases" / "2-build"
    assert "pilot baseline import FILE" in pilot(below, "show").stdout
    file = measured(root, *ROWS, "A-9,yesterday,Ada,1,,,")
    done = pilot(below, "import", str(file))
    assert "4 rows: 3 accepted (3 new, 0 imported before), 1 refused" in done.stdout
    assert f"{file}:5: measured_on: Input should be a valid date" in done.stdout
    assert "3 items of 2026-10-05 to 2026-10-19" in pilot(below, "freeze").stdout
    paper(root, (root / baseline.BASELINE).read_text().replace("540", "440"))
    shown = pilot(below, "show").stdout
    assert "cost      n 2, missing 1, median 4.2 [open, open]" in shown
    assert "phases/evidence/0001-baseline.json" in shown
    assert "other seconds" in shown


@pytest.mark.parametrize("words", [["freeze"], ["import", "nowhere.csv"], ["import", "notes.txt"]])
def test_a_mistake_is_a_message(root: Path, words: list[str]) -> None:
    (root / "notes.txt").write_text("")
    done = pilot(root, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("pilot: ")
    assert "Traceback" not in done.stderr


def test_minutes_of_work_are_a_column_that_a_baseline_may_have(root: Path) -> None:
    baseline.import_file(root, measured(root, *ROWS), TODAY)
    before = baseline.freeze(root, TODAY)
    assert "work_time" not in before.columns, "a baseline of before is frozen as it was"
    more = measured(root, "A-4,2026-10-20,Bob Ross,500,yes,,1,3.5", header=f"{HEADER},work_time")
    assert baseline.import_file(root, more, TODAY).new == 1
    rows = read_all(root)
    assert baseline.by_metric(rows)["work_time"] == [3.5]
    assert evaluation.measures(rows)["work_time"].statistics["mean"].value == 3.5
    assert "work_time" in baseline.freeze(root, TODAY).columns
