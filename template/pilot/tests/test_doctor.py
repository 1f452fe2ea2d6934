"""`pilot doctor`: each look sees that all is well, and what is not, and none hides another."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from example_papers import write
from example_team import Item, Prediction, Rules
from sqlalchemy import Engine
from test_backtest import recorded
from typer.testing import CliRunner, Result

from pilot.cli import app as command
from pilot.contract import Answer, ModelUnavailable, Team
from pilot.operations import doctor
from pilot.operations.doctor import Finding
from pilot.records import controls, keys
from pilot.records.crypto import Vault
from pilot.records.database import migrate, now, open_database, writing
from pilot.records.tables import audit
from pilot.records.writer import Writer
from pilot.settings import load_settings
from pilot.workbench import card, evidence

CANARY = "sk-canary-4711"


class Remote:
    version = "remote-1"

    async def predict_one(self, item: Any) -> Answer:
        return Answer(Prediction(label="refund"))


class Own:
    version = "own-1"

    def predict(self, items: Any) -> list[Answer]:
        return [Answer(Prediction(label="refund")) for _ in items]


class Endpoint:
    """A provider, or whoever takes alerts, on loopback: `status` and `models` are what it answers."""

    def __init__(self) -> None:
        self.status, self.models, self.keys = 200, ["good"], list[str | None]()
        self.body: dict[str, Any] = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.keys.append(self.headers["authorization"])
                body = json.dumps(stub.body or {"data": [{"id": name} for name in stub.models]}).encode()
                self.send_response(stub.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    stub = Endpoint()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pilot in order, whose model is bought."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    bought(monkeypatch, Remote())
    monkeypatch.setenv("PILOT_DATA_KEY", Fernet.generate_key().decode())
    with writing(database(tmp_path)) as connection:
        for role in keys.ROLES:
            keys.create(connection, role, role, "live", "olga")
    return tmp_path


def database(root: Path) -> Engine:
    engine = open_database(load_settings(root=root))
    migrate(engine)
    return engine


def bought(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    def load(_: Any) -> Any:
        if isinstance(model, Exception):
            raise model
        return model

    monkeypatch.setattr(doctor, "load_team", lambda: Team(Item, Prediction, load, Rules))


def found(root: Path, name: str) -> list[Finding]:
    return [finding for look, finding in doctor.examine(root) if look == name]


def wrong(root: Path, name: str) -> str:
    """What is wrong, with its fix."""
    return "\n".join(f"{one.said} {one.fix}" for one in found(root, name) if one.state == "wrong")


def test_a_pilot_in_order_has_nothing_wrong(root: Path) -> None:
    states = {name: finding.state for name, finding in doctor.examine(root)}
    assert states == {
        **dict.fromkeys(("settings", "retention", "database", "clock", "model", "keys", "disk"), "ok"),
        **dict.fromkeys(("sign in", "provider", "card", "alerts"), "note"),
    }


def test_a_system_card_of_before_a_change_of_the_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = database(root)
    card.write(root, doctor.load_team(), load_settings(root=root), engine, date(2027, 1, 11))
    assert [finding.state for finding in found(root, "card")] == ["ok"]
    monkeypatch.setenv("PILOT_RETENTION_DAYS", "400")
    assert "a change: contents are kept." in wrong(root, "card")


def test_an_identity_provider_that_answers_and_ones_that_do_not(
    root: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("OIDC_ISSUER", endpoint.url), ("OIDC_CLIENT_ID", "a"), ("PUBLIC_URL", "http://localhost")):
        monkeypatch.setenv(f"PILOT_{name}", value)
    endpoint.body = {"issuer": endpoint.url}
    assert [finding.state for finding in found(root, "sign in")] == ["ok"]
    endpoint.body = {"issuer": "https://another.example"}
    assert "calls itself https://another.example" in wrong(root, "sign in")
    endpoint.status = 404
    assert "does not answer as an identity provider" in wrong(root, "sign in")
    endpoint.server.shutdown()
    endpoint.server.server_close()
    assert "Reviewers can sign in with keys meanwhile" in wrong(root, "sign in")
    endpoint.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=endpoint.server.serve_forever, args=(0.01,), daemon=True).start()


def test_a_file_of_secrets_that_others_can_read(root: Path) -> None:
    (root / ".env").write_text("A=1\n")
    (root / ".env").chmod(0o644)
    assert "chmod 600 .env" in wrong(root, "settings")
    (root / ".env").chmod(0o600)
    assert wrong(root, "settings") == ""


def test_one_that_cannot_be_made_hides_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_THRESHOLD", CANARY)
    looks = dict(doctor.examine(root))
    assert set(looks) == {name for name in doctor.LOOKS if name != "provider"} | {"provider"}
    assert looks["settings"].state == "wrong"
    assert "PILOT_THRESHOLD" in looks["settings"].said
    assert CANARY not in str(looks)
    assert looks["alerts"].state == "note"


def test_a_database_that_is_away_or_was_altered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(database(root)) as connection:
        connection.execute(audit.update().where(audit.c.seq == 2).values(actor="mallory"))
    assert "does not hold from entry 2 on" in wrong(root, "database")
    monkeypatch.setenv("PILOT_DATABASE_URL", "postgresql+psycopg://pilot@127.0.0.1:9/pilot")
    monkeypatch.setenv("PILOT_DATABASE_PASSWORD", CANARY)
    said = wrong(root, "database")
    assert said
    assert CANARY not in said


def test_a_record_of_the_future(root: Path) -> None:
    with writing(database(root)) as connection:
        later = recorded(now() + timedelta(minutes=3), "money", Answer(Prediction(label="refund"), 0.9))
        Writer(Vault(()), Prediction).insert(connection, [later])
    assert "Set the clocks" in wrong(root, "clock")


def test_a_model_that_is_not_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bought(monkeypatch, ModelUnavailable("There is no model. Run `pilot model train`."))
    assert wrong(root, "model") == "There is no model. Run `pilot model train`. "
    assert found(root, "provider") == []
    bought(monkeypatch, Own())
    with writing(database(root)) as connection:
        controls.promote(connection, "0" * 16, "before", "olga", {})
    assert f"Version {'0' * 16} is in force, and no store on this machine holds it" in wrong(root, "model")


def test_keys_and_encryption_that_are_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(database(root)) as connection:
        [reviewer] = [row.id for row in connection.execute(keys.keys.select()) if row.role == "reviewer"]
        keys.revoke(connection, reviewer, "olga")
    assert "uv run pilot keys create reviewer --name NAME" in wrong(root, "keys")
    monkeypatch.delenv("PILOT_DATA_KEY")
    assert "items hold personal data. Set PILOT_DATA_KEY." in wrong(root, "keys")


def test_a_disk_that_is_nearly_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"total": 100e9, "free": 9e9})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert wrong(root, "disk") == "9% of 100 GB are free. See runbook/disk-full.md."


def test_a_provider_that_refuses_is_away_or_knows_no_such_model(
    root: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODEL": "openai:good", "BASE_URL": f"{endpoint.url}/v1", "API_KEY": CANARY}.items():
        monkeypatch.setenv(f"PILOT_LLM_{name}", value)
    [fine] = found(root, "provider")
    assert (fine.state, endpoint.keys) == ("ok", [f"Bearer {CANARY}"])
    endpoint.models = ["other"]
    assert "does not list the model 'good'. Set PILOT_LLM_MODEL; it lists: other." in wrong(root, "provider")
    endpoint.status = 401
    assert "refuses the key. Renew it" in wrong(root, "provider")
    endpoint.status = 500
    assert "HTTP 500" in wrong(root, "provider")
    monkeypatch.setenv("PILOT_LLM_BASE_URL", "http://127.0.0.1:9/v1")
    assert "cannot be reached" in wrong(root, "provider")
    assert CANARY not in str(list(doctor.examine(root)))


def test_a_way_of_the_alerts_that_is_not_there(root: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {one.state for one in found(root, "alerts")} == {"note"}, "before gate 3 nobody is called"
    facts = {"gate": 3, "begun": "2027-01-11", "decision_by": "2027-03-01"}
    evidence.append(root, "gate", "gate-3", now().date(), facts)
    assert "Nobody is called" in wrong(root, "alerts")
    (root / ".env").write_text(f"ALERT_WEBHOOK={endpoint.url}/{CANARY}\nALERT_WATCHDOG={endpoint.url}\n")
    assert [one.state for one in found(root, "alerts")] == ["ok", "ok"]
    monkeypatch.setenv("ALERT_WATCHDOG", f"http://127.0.0.1:9/{CANARY}")
    assert "ALERT_WATCHDOG: 127.0.0.1:9 takes no connection" in wrong(root, "alerts")
    monkeypatch.setenv("ALERT_WEBHOOK", CANARY)
    assert "ALERT_WEBHOOK is no address" in wrong(root, "alerts")
    assert CANARY not in str(found(root, "alerts"))


def pilot(*words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def test_the_verb_ends_with_1_where_something_is_wrong(root: Path) -> None:
    done = pilot("doctor")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("Nothing is wrong.\n")
    (root / ".env").write_text("")
    (root / ".env").chmod(0o640)
    done = pilot("doctor")
    assert done.exit_code == 1
    assert "wrong  settings  Others on this machine can read .env.\n                 chmod 600 .env\n" in done.stdout
    assert done.stdout.endswith("1 thing is wrong.\n")


def test_contents_that_are_overdue_and_keys_that_end_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_RETENTION_DAYS", "30")
    monkeypatch.setattr(doctor.privacy, "overdue", lambda connection, days: 7 if days == 30 else 0)
    monkeypatch.setattr(doctor.keys, "first_expiry", lambda connection: datetime.now(UTC) + timedelta(days=3))
    assert "7 items are older than 30 days. uv run pilot data purge" in wrong(root, "retention")
    assert "A key without a successor ends on " in wrong(root, "keys")
    monkeypatch.setattr(doctor.privacy, "overdue", lambda connection, days: 0)
    monkeypatch.setattr(doctor.keys, "first_expiry", lambda connection: datetime.now(UTC) + timedelta(days=30))
    assert wrong(root, "retention") == wrong(root, "keys") == ""
