"""TLS to the database and the provider: a certificate that does not hold is refused, and the refusal says so."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from conftest import Postgres
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from pilot.contract import PilotError
from pilot.records.database import migrate, open_database
from pilot.settings import Settings, load_settings


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[Path, Path]:
    """A certificate that signs itself, for a host of that name and its key; it ends after so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=10))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}{days}.crt", folder / f"{name}{days}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    files[1].chmod(0o600)
    return files


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine counts as another one."""
    monkeypatch.setattr(Settings, "is_plain", lambda self, host: False)


class Secured:
    """The cluster with a certificate."""

    def __init__(self, cluster: Postgres, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self.database = cluster.new_database()

    def shows(self, name: str, days: int = 1) -> Path:
        """Shows another certificate from now on, and returns its file."""
        data, files = self._cluster.folder / "data", certificate(self._folder, name, days=days)
        for file, kept in zip(files, ("server.crt", "server.key"), strict=True):
            shutil.copy(file, data / kept)
            (data / kept).chmod(0o600)
            shutil.chown(data / kept, data.owner(), data.group())
        self._cluster.stop()
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("ssl = on\n")
        self._cluster.start()
        return files[0]

    def without(self) -> None:
        """Speaks no TLS any more."""
        self._cluster.stop()
        with (self._cluster.folder / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write("ssl = off\n")
        self._cluster.start()


@pytest.fixture
def secured(postgres: Postgres, tmp_path: Path) -> Iterator[Secured]:
    made = Secured(postgres, tmp_path)
    yield made
    made.without()


def _try(root: Path, database: dict[str, str], authority: Path | None = None) -> Any:
    url = database["database_url"] + (f"?sslrootcert={authority}" if authority else "")
    engine = open_database(load_settings(root=root, **{**database, "database_url": url}))
    try:
        migrate(engine)
        with engine.connect() as connection:
            return connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar_one()
    finally:
        engine.dispose()


@pytest.mark.postgres
def test_the_database_must_show_a_certificate_that_holds(secured: Secured, elsewhere: None, tmp_path: Path) -> None:
    right = secured.shows("localhost")
    assert _try(tmp_path, secured.database, right) is True
    refused = "shows no certificate that holds for its host"
    with pytest.raises(PilotError, match=refused):
        _try(tmp_path, secured.database)  # signed by nobody that is known
    wrong = secured.shows("elsewhere")
    with pytest.raises(PilotError, match=refused):
        _try(tmp_path, secured.database, wrong)
    expired = secured.shows("localhost", days=-1)
    with pytest.raises(PilotError, match=refused):
        _try(tmp_path, secured.database, expired)
    secured.without()
    with pytest.raises(PilotError, match=refused):
        _try(tmp_path, secured.database)


@pytest.mark.postgres
def test_without_the_demand_it_is_reached_in_clear(secured: Secured, tmp_path: Path) -> None:
    assert _try(tmp_path, secured.database) is False


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        *[(host, True) for host in ("localhost", "127.0.0.1", "127.0.0.9", "::1", "/run/postgresql", "", "postgres")],
        *[(host, False) for host in ("db.example.org", "10.0.0.5", "postgres.example.org", "localhost.example.org")],
    ],
)
def test_what_is_this_machine(host: str, plain: bool, tmp_path: Path) -> None:
    assert load_settings(root=tmp_path, plain_hosts="postgres, other").is_plain(host) is plain


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_a_url_may_not_weaken_it(mode: str, tmp_path: Path) -> None:
    with pytest.raises(PilotError, match="must not weaken TLS"):
        load_settings(root=tmp_path, database_url=f"postgresql://u@db.example.org/x?sslmode={mode}")


def test_a_provider_in_clear_is_refused_unless_its_host_is_named(tmp_path: Path) -> None:
    with pytest.raises(PilotError, match="PILOT_LLM_BASE_URL must begin with https://"):
        load_settings(root=tmp_path, llm_base_url="http://llm.example.org/v1")
    for url in ("https://llm.example.org/v1", "http://127.0.0.1:9/v1", "http://llm:8000/v1"):
        assert load_settings(root=tmp_path, llm_base_url=url, plain_hosts="llm").llm_base_url == url


class _Silent(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A provider with a certificate that signs itself, and that certificate."""
    files = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://localhost:{server.server_port}/v1", files[0]
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_provider_must_show_a_certificate_that_holds(
    provider: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydantic_ai")
    from small_data import Label

    from pilot.models.llm import LlmModel

    def status() -> int | None:
        settings = load_settings(
            root=tmp_path, llm_model="openai:x", llm_api_key="sk-x", llm_base_url=provider[0], llm_retries=0
        )
        model = LlmModel(settings, prediction=Label, labels=("access", "billing"), instructions="", render=str)
        answer = asyncio.run(model.predict_one("a"))
        assert answer.failure == "provider_error"
        return answer.provider.status if answer.provider else None

    assert status() is None, "no request was sent"
    monkeypatch.setenv("SSL_CERT_FILE", str(provider[1]))
    assert status() == 500, "it was reached"
