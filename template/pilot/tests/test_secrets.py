"""Secrets: refused where others can read them, and taken anew from their files while the service runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from stub_llm import StubLlm, good

from pilot.contract import PilotError
from pilot.records.crypto import Vault
from pilot.records.tables import items
from pilot.serving import watch
from pilot.settings import load_settings

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture(autouse=True)
def _looked_at_when_a_test_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RENEWED", 3600.0)


def put(root: Path, name: str, value: str, mode: int = 0o600) -> Path:
    file = root / "secrets" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(value)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
@pytest.mark.parametrize("named", [True, False])
def test_a_secret_that_everybody_can_read_is_refused_by_name(
    mode: int, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path, "data_key", OLD, mode)
    if named:
        monkeypatch.setenv("PILOT_DATA_KEY_FILE", str(file.rename(tmp_path / "elsewhere")))
    with pytest.raises(PilotError, match="PILOT_DATA_KEY_FILE: every user of this machine can read") as told:
        load_settings(root=tmp_path)
    assert OLD not in str(told.value)


def test_without_a_look_at_its_mode_it_would_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "data_key", OLD, 0o644)
    monkeypatch.setattr("pilot.settings.stat.S_IROTH", 0)
    assert load_settings(root=tmp_path).data_keys == (OLD,)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o660])
def test_one_that_only_its_owner_and_group_can_read_is_taken(mode: int, tmp_path: Path) -> None:
    put(tmp_path, "data_key", OLD, mode)
    assert load_settings(root=tmp_path).data_keys == (OLD,)


@pytest.mark.parametrize("value", ["", "  \n", "changeme", "no-fernet-key"])
def test_an_empty_one_and_a_placeholder_are_refused_by_name(value: str, tmp_path: Path) -> None:
    put(tmp_path, "data_key", value)
    with pytest.raises(PilotError, match="PILOT_DATA_KEY: "):
        load_settings(root=tmp_path)


def _renew(app: App) -> None:
    portal = app.client.portal
    assert portal is not None
    portal.call(app.service.renew_secrets)


def test_a_data_key_is_rotated_without_a_restart(make_app: AppMaker, tmp_path: Path) -> None:
    put(tmp_path, "data_key", OLD)
    app = make_app("right", "assist")
    first = app.post("money").json()["id"]
    put(tmp_path, "data_key", f"{NEW},{OLD}")
    app.post("before it is looked at")
    _renew(app)
    app.post("money again")
    old, new = Vault((OLD,)).key_id, Vault((NEW,)).key_id
    assert [row.content_key for row in app.rows(items)] == [old, old, new]
    assert app.get(f"/v1/predictions/{first}").json()["prediction"] == {"label": "refund"}


def test_a_data_key_that_opens_nothing_leaves_the_present_one_in_force(make_app: AppMaker, tmp_path: Path) -> None:
    put(tmp_path, "data_key", OLD)
    app = make_app("right", "assist")
    app.post("money")
    put(tmp_path, "data_key", NEW)
    with pytest.raises(PilotError, match="which is not set"):
        _renew(app)
    put(tmp_path, "data_key", "garbage")
    with pytest.raises(PilotError, match="PILOT_DATA_KEY: is not a list of Fernet keys"):
        _renew(app)
    app.post("money again")
    assert {row.content_key for row in app.rows(items)} == {Vault((OLD,)).key_id}


@pytest.mark.postgres
def test_a_password_of_the_database_is_rotated_without_a_restart(
    make_app: AppMaker, tmp_path: Path, postgres: Any
) -> None:
    database = postgres.new_database()
    put(tmp_path, "database_password", database["database_password"])
    app = make_app("right", "assist", database_url=database["database_url"])
    put(tmp_path, "database_password", "another")
    _renew(app)
    app.service.engine.dispose()
    assert app.post("money").status_code in (401, 503), "the present password is the one that is sent"
    put(tmp_path, "database_password", database["database_password"])
    _renew(app)
    assert app.post("money").status_code == 200


def test_a_providers_key_is_rotated_without_a_restart(tmp_path: Path) -> None:
    pytest.importorskip("pydantic_ai")
    from small_data import Label

    from pilot.models.llm import LlmModel
    from pilot.settings import changed_secrets

    put(tmp_path, "llm_api_key", "sk-first")
    with StubLlm(lambda text: good("billing")) as stub:
        settings = load_settings(root=tmp_path, llm_model="openai:x", llm_base_url=stub.url)
        model = LlmModel(settings, prediction=Label, labels=("access", "billing"), instructions="", render=str)

        async def both() -> None:
            await model.predict_one("a")
            put(tmp_path, "llm_api_key", "sk-second")
            settings.llm_api_key = changed_secrets(settings)["llm_api_key"]
            await model.predict_one("b")

        asyncio.run(both())
        assert stub.keys == ["Bearer sk-first", "Bearer sk-second"]
        assert changed_secrets(settings) == {}
