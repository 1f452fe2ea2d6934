"""The verbs of the papers and the gates, as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from example_papers import ADA, edit, sign, write
from typer.testing import CliRunner, Result

from pilot.cli import app, main
from pilot.contract import PilotError
from pilot.workbench.documents.candidates import CANDIDATES

RUNNER = CliRunner()
TODAY = date.today()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pilot whose papers fit the day of the test; the command runs below its root."""
    write(tmp_path)
    edit(tmp_path, "2027-03-01", (TODAY + timedelta(weeks=7)).isoformat())
    monkeypatch.chdir(tmp_path / "phases" / "1-scope")
    return tmp_path


def pilot(*words: str) -> Result:
    return RUNNER.invoke(app, words)


def test_from_papers_to_a_passed_gate(root: Path) -> None:
    assert pilot("candidates").exit_code == 0
    assert "The charter holds" in pilot("charter").stdout
    assert pilot("gate", "1").exit_code == 1
    signed = pilot("sign", "charter", "--as", ADA, "--role", "owner")
    assert "wrote phases/evidence/0001-signature-charter-owner.json" in signed.stdout
    passed = pilot("gate", "1")
    assert passed.exit_code == 0
    assert "wrote phases/evidence/0002-gate-1.json" in passed.stdout
    assert pilot("check").exit_code == 0


def test_looking_ahead_writes_no_evidence(root: Path) -> None:
    pilot("sign", "charter", "--as", ADA, "--role", "owner")
    before = sorted((root / "phases" / "evidence").iterdir())
    looked = pilot("gate", "1", "--today", TODAY.isoformat())
    assert (looked.exit_code, "wrote" in looked.stdout) == (0, False)
    assert pilot("check", "--today", "2099-01-01").exit_code == 10
    assert pilot("charter", "--today", TODAY.isoformat()).exit_code == 0
    assert sorted((root / "phases" / "evidence").iterdir()) == before
    assert "--today" not in re.sub(r"\x1b\[[0-9;]*m", "", pilot("sign", "--help").stdout)


def test_check_fails_with_10_and_names_what_changed(root: Path) -> None:
    pilot("sign", "charter", "--as", ADA, "--role", "owner")
    edit(root, "target: 9", "target: 8")
    checked = pilot("check")
    assert checked.exit_code == 10
    assert "charter.md:8: 'target: 9' is now 'target: 8'" in checked.stdout
    assert not (root / "var").exists(), "no database is opened"


def test_the_charter_says_what_its_target_needs_and_what_the_volume_gives(root: Path) -> None:
    assert "the spread of cycle_time is not known before the baseline" in pilot("charter").stdout
    edit(root, "target: 9\n", "target: 9\nvolume_now: 50\ncoverage_floor: 0.2\n")
    (root / "measured.csv").write_text(
        "measured_on,measured_by,seconds\n"
        + "".join(f"{TODAY},Ada Byron,{hours * 3600}\n" for hours in (2, 5, 9, 14, 20))
    )
    assert pilot("baseline", "import", str(root / "measured.csv")).exit_code == 0
    said = pilot("charter").stdout
    assert "proving a mean cycle_time of 9 when the truth is 8.1 needs 501 judged items, you will have 300" in said
    assert "judged_items: 300 are planned, and the target needs 501." in said


def test_a_charter_that_does_not_hold_lists_all_of_it(root: Path) -> None:
    edit(root, "weeks: 6", "weeks: 9")
    edit(root, "budget: 40000", "budget:")
    said = pilot("charter")
    assert said.exit_code == 1
    assert "phases/1-scope/charter.md:13: weeks" in said.stdout
    assert "phases/1-scope/charter.md:23: budget" in said.stdout
    assert "2 to fix" in said.stdout


def test_the_gate_for_programs(root: Path) -> None:
    said = json.loads(pilot("gate", "1", "--json").stdout)
    assert (said["gate"], said["phase"], said["passes"], said["passed_on"]) == (1, "scope", False, None)
    [item] = [item for item in said["items"] if item["state"] == "missing"]
    assert (item["id"], item["by"]) == ("charter-signed", "attestation")
    assert item["problems"][0]["mend"].endswith('pilot sign charter --as "Ada Byron <ada@example.org>" --role "owner"')


def test_candidates_say_whether_the_ranking_is_fragile(root: Path) -> None:
    assert "No single point would change the winner." in pilot("candidates").stdout
    edit(root, "Invoice matching,5,two clerks all day,2", "Invoice matching,5,two clerks all day,5", CANDIDATES)
    assert "Invoice matching wins if feasibility of Ticket triage is 4" in pilot("candidates").stdout


@pytest.mark.parametrize(
    "verb", [["charter"], ["candidates"], ["check"], ["gate", "1"], ["sign", "charter", "--as", ADA, "--role", "owner"]]
)
def test_outside_of_a_pilot_each_verb_says_so(verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = pilot(*verb)
    assert isinstance(said.exception, PilotError)
    assert "Run this in a pilot" in str(said.exception)


@pytest.mark.parametrize("harm", [b"---\nweeks: [\n---\n", b"no fences", b"\xff\xfe", b"---\n- a\n---\n", b""])
def test_a_broken_charter_is_a_message_and_never_a_traceback(
    harm: bytes, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "phases/1-scope/charter.md").write_bytes(harm)
    for words in (["charter"], ["gate", "1"], ["check"], ["candidates"], ["status"]):
        monkeypatch.setattr("sys.argv", ["pilot", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == (1 if words[0] in ("charter", "gate") else 0)
        assert "Traceback" not in capsys.readouterr().err


def test_it_needs_neither_git_nor_a_home(root: Path) -> None:
    environment = {"PATH": "/nonexistent", "HOME": "/nonexistent"} | (
        {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    )
    words = ["sign", "charter", "--as", ADA, "--role", "owner"]
    done = subprocess.run(
        [sys.executable, "-m", "pilot.cli", *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_page_for_a_sponsor_tells_where_the_pilot_stands_without_scripts_or_other_files(root: Path) -> None:
    edit(root, 'pilot: "Ticket triage"', 'pilot: "Tickets & more"')
    pilot("sign", "charter", "--as", ADA, "--role", "owner")
    page = root / "status.html"
    assert "wrote" in pilot("status", "--html", str(page)).stdout
    text = page.read_text(encoding="utf-8")
    assert "Tickets &amp; more" in text
    assert f"decided by {TODAY + timedelta(weeks=7)}: 49 days are left. Ada Byron owns it." in text
    assert "no item of real work was recorded yet" in text
    assert not re.search(r"<script|<link|src=|href=|url\(", text)
    late = (TODAY + timedelta(weeks=8)).isoformat()
    pilot("status", "--html", str(page), "--today", late)
    assert "was to be decided by" in page.read_text(encoding="utf-8")
    assert "Decide now, go or no-go" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_a_message(root: Path) -> None:
    said = pilot("status", "--html", str(root / "missing" / "status.html"))
    assert isinstance(said.exception, PilotError)
    assert "cannot be written" in str(said.exception)


def test_the_status_tells_of_the_phases_when_the_database_is_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_DATABASE_URL", "postgresql://pilot@127.0.0.1:1/pilot")
    said = pilot("status")
    assert "phase 1 scope" in said.stdout
    assert isinstance(said.exception, PilotError)
    assert "cannot be used" in str(said.exception)
    gate_2 = pilot("gate", "2")
    assert (gate_2.exit_code, "records-readable" in gate_2.stdout) == (1, True)


def test_the_status_is_one_screen_and_says_what_is_next_and_late(root: Path) -> None:
    lines = pilot("status").stdout.splitlines()
    assert len(lines) <= 18
    names = [line.split()[0] for line in lines]
    assert names[:5] == ["phase"] * 5
    assert {"late", "decision", "next", "mode", "items"} <= set(names)
    assert re.search(r"^late +nothing$", pilot("status").stdout, re.MULTILINE)
    sign(root, today=TODAY)
    late = pilot("status", "--today", (TODAY + timedelta(weeks=20)).isoformat()).stdout
    assert re.search(r"^late +.*there is none\. Decide now", late, re.MULTILINE)


def test_papers_are_added_listed_and_checked(root: Path) -> None:
    assert pilot("paper", "add", "baseline.md").stdout == "added phases/2-build/baseline.md\n"
    assert "2-build/baseline.md (there already)" in pilot("paper", "add").stdout
    assert pilot("paper", "check").exit_code == 0
    edit(root, "weeks: 6", "weeks: six")
    wrong = pilot("paper", "check")
    assert (wrong.exit_code, "charter.md:13: weeks" in wrong.stdout) == (1, True)
