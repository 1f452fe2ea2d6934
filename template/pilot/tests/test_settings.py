"""Settings: all mistakes at once, no values, and a start that is refused within seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pilot.contract import PilotError
from pilot.records.database import migrate, open_database
from pilot.settings import Settings, find_root, load_settings, make_secrets

KEY = Fernet.generate_key().decode()


def _wrong(monkeypatch: pytest.MonkeyPatch, root: Path, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PilotError) as caught:
        load_settings(root=root)
    return str(caught.value)


def test_every_mistake_is_told_at_once_and_without_its_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = _wrong(
        monkeypatch,
        tmp_path,
        PILOT_PORT="canary-1",
        PILOT_THRESHOLD="7.25",
        PILOT_LOG_LEVEL="canary-2",
        PILOT_DATA_KEY="canary-3",
        PILOT_DATABASE_URL="mysql://canary-4",
        PILOT_LLM_API_KEY_FILE=str(tmp_path / "missing"),
        PILOT_TRESHOLD="canary-5",
        PILOT_ELEPHANT="canary-6",
    )
    for name in ("PORT", "THRESHOLD", "LOG_LEVEL", "DATA_KEY", "DATABASE_URL", "LLM_API_KEY_FILE", "ELEPHANT"):
        assert f"PILOT_{name}: " in told
    assert "PILOT_TRESHOLD: is not a setting; did you mean PILOT_THRESHOLD?" in told
    assert "canary" not in told
    assert "7.25" not in told


@pytest.mark.parametrize("name", ["DATABASE_PASSWORD", "DATA_KEY", "LLM_API_KEY"])
@pytest.mark.parametrize("value", ["", "  ", "changeme", "ChangeMe ", "password", "TODO"])
def test_an_empty_secret_or_a_placeholder_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = _wrong(monkeypatch, tmp_path, **{f"PILOT_{name}": value})
    assert f"PILOT_{name}: is {'a placeholder' if value.strip() else 'empty'}" in told
    monkeypatch.delenv(f"PILOT_{name}")
    file = tmp_path / "file"
    file.write_text(value)
    assert f"PILOT_{name}: " in _wrong(monkeypatch, tmp_path, **{f"PILOT_{name}_FILE": str(file)})


def test_a_secret_comes_from_the_variable_else_the_named_file_else_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def password() -> str:
        found = load_settings(root=tmp_path).database_password
        assert found is not None
        return found.get_secret_value()

    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database_password").write_text("from-folder\n")
    (tmp_path / "secrets" / "database_password").chmod(0o600)
    assert password() == "from-folder"
    (tmp_path / "named").write_text("from-file\n")
    (tmp_path / "named").chmod(0o600)
    monkeypatch.setenv("PILOT_DATABASE_PASSWORD_FILE", str(tmp_path / "named"))
    assert password() == "from-file"
    monkeypatch.setenv("PILOT_DATABASE_PASSWORD", "from-variable")
    assert password() == "from-variable"


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path, database_password="canary", data_key=KEY, llm_api_key="canary")
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "canary" not in shown
        assert KEY not in shown


def test_data_keys_come_newest_first(tmp_path: Path) -> None:
    other = Fernet.generate_key().decode()
    assert load_settings(root=tmp_path, data_key=f"{KEY}, {other}").data_keys == (KEY, other)
    assert load_settings(root=tmp_path).data_keys == ()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://pilot:canary@host/db", "must not hold a password"),
        ("postgresql://pilot@host/db?password=canary", "must not hold a password"),
        ("postgresql://pilot@host:port/db", "must look like"),
        ("pilot.db", "must start with"),
        ("", "must start with"),
    ],
)
def test_a_database_url_that_cannot_work_is_refused(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = _wrong(monkeypatch, tmp_path, PILOT_DATABASE_URL=url)
    assert problem in told
    assert "canary" not in told


@pytest.mark.parametrize("url", ["postgresql://host:5432/db", "postgresql://u@host/db", "postgresql:///db?host=/run"])
def test_a_database_url_without_a_password_is_taken(url: str, tmp_path: Path) -> None:
    assert load_settings(root=tmp_path, database_url=url).database_url == url


def test_paths_start_at_the_root(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/var/pilot.db"
    assert settings.models == tmp_path / "var" / "models"
    assert load_settings(root=tmp_path, database_url="sqlite:////x/y.db").database_url == "sqlite:////x/y.db"


def test_the_root_is_the_nearest_folder_with_a_charter(tmp_path: Path) -> None:
    inner = tmp_path / "pilot" / "src"
    inner.mkdir(parents=True)
    assert find_root(inner) == inner
    (tmp_path / "phases" / "1-scope").mkdir(parents=True)
    (tmp_path / "phases" / "1-scope" / "charter.md").write_text("")
    assert find_root(inner) == tmp_path


def test_what_secrets_init_writes_for_compose_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    list(make_secrets(tmp_path))
    for line in (tmp_path / ".env").read_text().splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    assert load_settings(root=tmp_path).root == tmp_path


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_command_refuses_wrong_settings_without_a_traceback(tmp_path: Path) -> None:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PILOT_")}
    environment |= {"PILOT_PORT": "no", "PILOT_THRESHOLD": "9", "PILOT_ELEPHANT": "canary", "PILOT_ROOT": str(tmp_path)}
    before = os.times().children_user
    done = subprocess.run(
        [Path(sys.executable).parent / "pilot", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert os.times().children_user - before < 5, "seconds of work, whatever else the machine does"
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr
    for name in ("PORT", "THRESHOLD", "ELEPHANT"):
        assert f"PILOT_{name}: " in done.stderr


LINKS = {
    "PORT": "tcp://10.0.0.9:8000",
    "SERVICE_HOST": "10.0.0.9",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "PORT_8000_TCP": "tcp://10.0.0.9:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.0.0.9",
}


@pytest.mark.parametrize("service", ["PILOT", "PILOT_DB", "PILOT_LLM"])
def test_what_kubernetes_sets_for_a_service_is_no_setting(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """I5: the links of the services pilot, pilot-db and pilot-llm."""
    for name, value in LINKS.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings(root=tmp_path).port == 8000
    assert load_settings(root=tmp_path, port=9000).port == 9000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PILOT_PORT", "eight", "PILOT_PORT: Input should be a valid integer"),
        ("PILOT_MODEL_PORT", "8000", "PILOT_MODEL_PORT: is not a setting"),
    ],
)
def test_a_port_that_is_no_link_is_still_looked_at(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PilotError, match=said):
        load_settings(root=tmp_path)


@pytest.mark.parametrize("name", ["Ticket%20triage", "feature%2Fnew", "what?now", "a#b", "50 % off"])
def test_a_folder_of_any_name_holds_its_own_database(name: str, tmp_path: Path) -> None:
    """I3: a path is never parsed as a URL."""
    root = tmp_path / name
    root.mkdir()
    engine = open_database(load_settings(root=root))
    migrate(engine)
    engine.dispose()
    assert (root / "var" / "pilot.db").stat().st_size > 50_000
    assert [path.name for path in tmp_path.iterdir()] == [name]
