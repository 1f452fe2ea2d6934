"""No secret comes out anywhere, also where a provider repeats it: a canary for each, through the paths of errors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import orjson
import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from example_papers import write
from stub_llm import Reply, StubLlm, good, said
from test_buy import TEAM
from test_oidc import OURS, Liar, signed_in_by

from pilot.contract import PilotError
from pilot.operations import doctor
from pilot.operations.backup import backup
from pilot.records import privacy
from pilot.serving.auth import ACCESS
from pilot.workbench import card

LLM_KEY, CLIENT_SECRET, DATA_KEY = "sk-canary-4711", "client-canary-4712", Fernet.generate_key().decode()
CONTENT = "Jane Canary, jane.canary@example.com"


def _repeats(status: int) -> Reply:
    """What a provider answers that shows the key which it refuses, and the item."""
    told = {"error": {"message": f"Incorrect API key provided: {LLM_KEY}. You sent: {CONTENT}", "code": "invalid_key"}}
    return Reply(orjson.dumps(told), status, {"x-request-id": "req_1", "retry-after": "0"})


REPLIES = [
    *map(_repeats, (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503)),
    said(f'{{"label": "{LLM_KEY}", "confidence": 0.9}}'),
    said(LLM_KEY),
    Reply(LLM_KEY.encode(), content_type="text/html"),
    Reply(b""),
    good("refund", 0.75),
]


@pytest.fixture
def served(make_app: AppMaker, tmp_path: Path) -> Iterator[App]:
    """A service that buys its model, with an identity provider, and a secret in every place that takes one."""
    write(tmp_path)
    provider, liar = StubLlm(lambda _: good("refund", 0.75), *REPLIES), Liar()
    with provider:
        app = make_app(
            mode="assist",
            team=TEAM,
            llm_model="openai:stub",
            llm_base_url=provider.url,
            llm_api_key=LLM_KEY,
            llm_retries=0,
            model_deadline=5,
            data_key=DATA_KEY,
            public_url=OURS,
            oidc_issuer=liar.issuer,
            oidc_client_id="triage",
            oidc_client_secret=CLIENT_SECRET,
        )
        app.client.base_url = OURS  # type: ignore[assignment]
        yield app
    liar.server.shutdown()
    liar.server.server_close()


def shown(app: App, root: Path) -> str:
    """All that leaves the service and its commands while things go wrong."""
    told = []
    for number in range(len(REPLIES)):
        told.append(app.post(f"{CONTENT} {number}", subject="customer-1"))
        told.append(app.raw(f'{{"item": {{"text": "{CONTENT}"'.encode()))
    liar = Liar()
    app.service.settings.oidc_issuer = liar.issuer
    liar.sign = liar.forged
    told.append(signed_in_by(app, liar, aud="triage"))
    liar.sign = lambda _: CLIENT_SECRET
    told.append(signed_in_by(app, liar))
    liar.server.shutdown()
    liar.server.server_close()
    told.append(app.client.get("/login/provider", follow_redirects=False))
    item = told[0].json()["id"]
    for method, path in sorted(ACCESS):
        for who in app.keys:
            address = path.replace("{item_id}", item if who != "bank" else "none")
            told.append(app.client.request(method, address, headers=app.headers(who), follow_redirects=False))
    lines = [reply.text + str(reply.headers) for reply in told]
    lines += [str(finding) for finding in doctor.examine(root)]
    try:
        card.write(root, TEAM, app.settings, app.service.engine, date(2027, 2, 12))
        lines.append((root / card.CARD).read_text(encoding="utf-8"))
    except PilotError as error:
        lines.append(str(error))
    backup(app.settings, root / "records.pilot")
    lines.append(gzip.decompress((root / "records.pilot").read_bytes()).decode())
    lines += [file.read_bytes().decode("latin-1") for file in root.glob("var/pilot.db*")]
    return "\n".join(lines)


def test_no_secret_leaves_the_service_or_its_commands(
    served: App, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LLM_API_KEY", LLM_KEY), ("DATA_KEY", DATA_KEY)):
        monkeypatch.setenv(f"PILOT_{name}", value)
    out = shown(served, tmp_path) + "".join(capfd.readouterr())
    assert len(out) > 100_000, "the net has nothing in it"
    secrets = {"LLM": LLM_KEY, "data": DATA_KEY, "client": CLIENT_SECRET, **served.keys}
    assert not [name for name, secret in secrets.items() if secret in out]


def test_no_content_is_in_the_log_or_the_sealed_database(
    served: App, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shown(served, tmp_path)
    out = "".join(capfd.readouterr())
    out += "".join(file.read_bytes().decode("latin-1") for file in tmp_path.glob("var/pilot.db*"))
    assert "provider" in out
    assert "Jane Canary" not in out
    exported = privacy.export(served.service.engine, served.service.vault, "customer-1", "test")
    assert "Jane Canary" in str(exported), "what was sent can be found where it belongs"
