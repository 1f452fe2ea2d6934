"""The command: what a user types and sees."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from example_papers import edit, sign, write

from pilot.workbench import gates
from pilot.workbench.pilot import Pilot

RUN = """
import example_team, pilot.cli, pilot.contract
pilot.contract.load_team = example_team.make_team
pilot.cli.main()
"""
HERE = Path(__file__).parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot's folder: what makes it one is the charter."""
    (tmp_path / "phases" / "1-scope").mkdir(parents=True)
    (tmp_path / "phases" / "1-scope" / "charter.md").write_text("---\n---\n")
    return tmp_path


def pilot(root: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with the example team, as a process of its own."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE), **variables}
    return subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=root, env=environment, capture_output=True, text=True, timeout=120
    )


def fails(root: Path, *words: str, **variables: str) -> str:
    """What it says when it refuses: on stderr, with exit code 1, without a traceback."""
    done = pilot(root, *words, **variables)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def test_a_key_is_shown_once_alone_on_stdout_and_kept_as_a_hash(root: Path) -> None:
    secret = pilot(root, "keys", "create", "caller", "--name", "shop").stdout.strip()
    assert secret.startswith("pilot_")
    assert "\n" not in secret
    assert secret not in pilot(root, "keys", "list").stdout
    assert secret.split("_", 2)[2].encode() not in (root / "var" / "pilot.db").read_bytes()


def test_keys_are_listed_and_revoked_by_their_id(root: Path) -> None:
    pilot(root, "keys", "create", "reviewer", "--name", "Rita")
    identity = pilot(root, "keys", "list").stdout.split()[0]
    assert pilot(root, "keys", "revoke", identity).returncode == 0
    assert "revoked" in pilot(root, "keys", "list").stdout
    assert "pilot keys list" in fails(root, "keys", "revoke", identity)


def test_a_wrong_role_or_origin_names_the_right_ones(root: Path) -> None:
    assert "caller, reviewer, operator" in fails(root, "keys", "create", "admin")
    assert "live, test, demo, backtest" in fails(root, "keys", "create", "caller", "--origin", "prod")


def test_the_mode_is_shadow_until_it_is_changed(root: Path) -> None:
    assert pilot(root, "mode").stdout == "shadow\n"
    assert pilot(root, "mode", "off").stdout == "off (was shadow)\n"
    assert pilot(root, "mode").stdout == "off\n"
    assert "off, shadow, assist, auto" in fails(root, "mode", "on")


@pytest.mark.parametrize("wanted", ["assist", "auto"])
def test_a_mode_beyond_shadow_needs_gate_1(wanted: str, root: Path) -> None:
    assert "needs gate 1, which has not passed: `pilot gate 1` lists" in fails(root, "mode", wanted)
    assert pilot(root, "mode").stdout == "shadow\n"
    today = date.today()
    write(root)
    edit(root, "2027-03-01", (today + timedelta(weeks=7)).isoformat())
    sign(root, today=today)
    assert gates.attempt(Pilot(root, today), 1)[0].passes
    assert pilot(root, "mode", wanted).stdout == f"{wanted} (was shadow)\n"
    evidence = next((root / "phases" / "evidence").glob("*-gate-1.json"))
    evidence.write_text(evidence.read_text().replace("holds", "held").replace("Ada", "Eve"))
    pilot(root, "mode", "off")
    assert "needs gate 1" in fails(root, "mode", wanted)


def test_a_scratch_database_needs_no_gate_and_says_so(root: Path) -> None:
    assert pilot(root, "mode", "assist", "--scratch").stdout == "assist (was shadow)\n"
    assert pilot(root, "mode", "auto").stdout == "auto (was assist)\n"
    assert json.loads(pilot(root, "status", "--json").stdout)["scratch"] is True
    assert "for scratch: it counts for no gate" in pilot(root, "status").stdout


def test_a_database_with_live_items_does_not_become_scratch(root: Path) -> None:
    (root / "rows.csv").write_text("text\nwhere is my money\n")
    pilot(root, "ingest", "rows.csv", "--input", "text")
    assert "holds live items" in fails(root, "mode", "assist", "--scratch")
    assert pilot(root, "mode").stdout == "shadow\n"


def test_an_ingest_that_accepts_no_row_ends_with_4(root: Path) -> None:
    """I8: whoever runs it in a script hears of it."""
    (root / "rows.csv").write_text("text\n" + "x" * 20_000 + "\n")
    assert pilot(root, "ingest", "rows.csv", "--input", "text").returncode == 4
    (root / "rows.csv").write_text("text\nhello\n")
    assert [pilot(root, "ingest", "rows.csv", "--input", "text").returncode for _ in range(2)] == [0, 0]


def test_ingest_says_what_became_of_each_row_and_status_counts_it(root: Path) -> None:
    (root / "rows.csv").write_text("text,label\nwhere is my money,refund\nhello,refund\n,refund\n")
    done = pilot(root, "ingest", "rows.csv", "--input", "text", "--final", "label")
    assert "3 rows: 2 accepted (2 new, 0 recorded before), 1 quarantined; 2 outcomes added" in done.stdout
    assert "1 x text: String should have at least 1 character (line 4)" in done.stdout
    found = json.loads(pilot(root, "status", "--json").stdout)
    assert {"items": 2, "by_origin": {"backtest": 2}, "agreement": 0.5, "coverage": 1.0}.items() <= found.items()
    assert found["database"].endswith("var/pilot.db")
    assert [phase["name"] for phase in found["phases"]] == ["scope", "build", "decide", "harden", "live"]
    assert "pilot gate 1" in found["next"]
    shown = pilot(root, "status").stdout
    assert shown.startswith("phase 1 scope   current")
    assert "agreement 50.0%" in shown
    assert "only live items count" in shown


def test_every_command_works_from_a_folder_below_the_root_and_names_the_database(root: Path) -> None:
    done = pilot(root / "phases" / "1-scope", "status")
    assert f"database: {root}/var/pilot.db" in done.stderr
    assert (root / "var" / "pilot.db").exists()


@pytest.mark.parametrize("words", [["mode", "off"], ["status"], ["serve"], ["secrets", "init"]], ids=" ".join)
def test_outside_of_a_pilot_nothing_is_made_and_no_success_is_told(words: list[str], tmp_path: Path) -> None:
    assert "phases/1-scope/charter.md" in fails(tmp_path, *words)
    assert "phases/1-scope/charter.md" in fails(tmp_path, *words, PILOT_ROOT=str(tmp_path / "mistyped"))
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_said_without_a_traceback(root: Path) -> None:
    (root / "secrets").write_text("a file where the folder should be")
    assert f"{root}/secrets: File exists" in fails(root, "secrets", "init")
    (root / "var").mkdir()
    (root / "var" / "pilot.db").mkdir()
    assert "cannot be used" in fails(root, "status")


def test_a_full_disk_is_said_and_a_closed_pipe_is_not(root: Path) -> None:
    command = [sys.executable, "-c", RUN, "mode"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=root, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left on device. Check" in done.stderr
    assert "Traceback" not in done.stderr
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == f"database: {root}/var/pilot.db\n"
    assert process.wait(60) == 1


def test_a_database_that_fails_in_use_is_said_without_a_traceback(root: Path) -> None:
    import sqlite3

    pilot(root, "mode")
    with sqlite3.connect(root / "var" / "pilot.db") as connection:
        connection.execute("DROP TABLE settings_in_force")
    said = fails(root, "mode", "off")
    assert "The database failed, so the last change was not made: it reported an error." in said
    assert "runbook/database-down.md" in said


def test_a_missing_file_or_column_is_said_without_a_traceback(root: Path) -> None:
    assert "There is no file nothing.csv" in fails(root, "ingest", "nothing.csv")
    (root / "rows.csv").write_text("query\nhello\n")
    assert "no column 'text'" in fails(root, "ingest", "rows.csv", "--input", "text")


def test_serve_lists_all_wrong_settings_at_once_and_no_values(root: Path) -> None:
    said = fails(
        root,
        "serve",
        PILOT_PORT="99999",
        PILOT_TRESHOLD="0.5",
        PILOT_DATA_KEY="canary-secret",
        PILOT_DATABASE_PASSWORD_FILE="/nowhere",
        PILOT_DATABASE_URL="mysql://x",
    )
    for name in (
        "PILOT_PORT",
        "PILOT_THRESHOLD",
        "PILOT_DATA_KEY",
        "PILOT_DATABASE_PASSWORD_FILE",
        "PILOT_DATABASE_URL",
    ):
        assert name in said
    assert "canary-secret" not in said


def test_a_start_that_is_refused_leaves_one_json_line_in_the_log(root: Path) -> None:
    found = json.loads(fails(root, "serve", PILOT_PORT="99999"))
    assert (found["event"], found["level"]) == ("start_refused", "critical")
    assert "PILOT_PORT" in found["message"]


def test_serve_refuses_a_port_that_is_taken(root: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = fails(root, "serve", "--port", str(taken.getsockname()[1]))
    assert "PILOT_PORT" in said


def test_secrets_init_makes_private_files_once(root: Path) -> None:
    assert "made secrets/data_key" in pilot(root, "secrets", "init").stdout
    for name in ("data_key", "database_password"):
        assert stat.S_IMODE((root / "secrets" / name).stat().st_mode) == 0o600
    key = (root / "secrets" / "data_key").read_text()
    assert Fernet(key)
    assert "is there already" in pilot(root, "secrets", "init").stdout
    assert (root / "secrets" / "data_key").read_text() == key
    assert (root / ".env").read_text().count("PILOT_UID=") == 1


def test_training_needs_an_approach_that_trains(root: Path) -> None:
    assert "trains no model" in fails(root, "model", "train")


def test_a_newer_database_is_refused_and_left_alone(root: Path) -> None:
    import sqlite3

    pilot(root, "mode")
    with sqlite3.connect(root / "var" / "pilot.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE settings_in_force SET value = '9999' WHERE name = 'schema_runs_from'")
    assert "does not know" in fails(root, "status")


def test_help_groups_the_verbs_by_phase(root: Path) -> None:
    shown = pilot(root, "--help").stdout
    assert all(panel in shown for panel in ("1 Scope", "2 Build", "Gates"))
    assert all(verb in shown for verb in ("candidates", "charter", "sign", "gate", "check"))
    assert all(verb in shown for verb in ("serve", "ingest", "status", "mode", "keys", "model", "secrets", "demo"))
