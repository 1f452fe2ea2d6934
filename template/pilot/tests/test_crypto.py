"""Privacy: with a data key nothing of content can be read in the files, and keys may be changed."""

from __future__ import annotations

import pytest
from conftest import AppMaker
from cryptography.fernet import Fernet

from pilot.contract import PilotError
from pilot.records.crypto import Vault, keyed_hash
from pilot.records.tables import items, settings_in_force

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def _everything(app: object) -> bytes:
    folder = app.settings.root / "var"  # type: ignore[attr-defined]
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


@pytest.mark.parametrize("sealed", [True, False])
def test_a_data_key_hides_contents_in_the_files_of_the_database(sealed: bool, make_app: AppMaker) -> None:
    for mode in ("shadow", "auto"):
        app = make_app("wrong", mode, **({"data_key": OLD} if sealed else {}))
        reply = app.post("item-canary", subject="subject-canary")
        app.drained()
        label = {"label": "final-canary"}
        app.judge(reply.json()["id"], final=label, comment="comment-canary")
    raw = _everything(app)
    for canary in (b"item-canary", b"final-canary", b"comment-canary", b"nonsense", b"by-rule"):
        assert (canary in raw) != sealed, canary
    assert b"subject-canary" not in raw, "a subject is kept as a pseudonym in any case"
    assert {row.content_key is not None for row in app.rows(items)} == {sealed}


def test_a_new_key_seals_and_the_old_one_still_opens(make_app: AppMaker) -> None:
    before = make_app("right", "assist", data_key=OLD).post("money").json()
    app = make_app("right", "assist", data_key=f"{NEW},{OLD}")
    app.post("other")
    assert len({row.content_key for row in app.rows(items)}) == 2
    found = app.get(f"/v1/predictions/{before['id']}").json()
    assert found["prediction"] == before["prediction"]
    assert app.judge(before["id"], final={"label": "refund"}).status_code == 201


def test_a_lost_key_is_refused_at_the_start_with_its_name(make_app: AppMaker) -> None:
    make_app(data_key=OLD).post("a")
    with pytest.raises(PilotError, match=r"sealed with data key [0-9a-f]{12}, which is not set") as caught:
        make_app(data_key=NEW)
    assert OLD not in str(caught.value)


def test_a_key_may_be_set_later(make_app: AppMaker) -> None:
    first = make_app().post("plain").json()["id"]
    app = make_app(data_key=NEW)
    assert app.get(f"/v1/predictions/{first}").status_code == 200


def test_sealed_content_that_was_altered_is_not_opened() -> None:
    vault = Vault((NEW,))
    sealed = vault.seal(b'{"a":1}')
    assert vault.open(sealed) == b'{"a":1}'
    with pytest.raises(PilotError, match="was altered"):
        vault.open(sealed[:-3] + b"AAA")


def test_fingerprints_depend_on_the_databases_own_secret(make_app: AppMaker) -> None:
    assert keyed_hash(b"a" * 32, b"text") == keyed_hash(b"a" * 32, b"text") != keyed_hash(b"b" * 32, b"text")
    one, two = (make_app(database_url=f"sqlite:///{n}.db") for n in "ab")
    one.post("same")
    two.post("same")
    assert one.rows(items)[0].fingerprint != two.rows(items)[0].fingerprint


def test_the_databases_secret_is_sealed_too(make_app: AppMaker) -> None:
    import base64

    app = make_app(data_key=OLD)
    stored = next(row.value for row in app.rows(settings_in_force) if row.name == "pepper")
    assert base64.b64encode(app.service.pepper).decode() not in stored
    assert base64.b64decode(stored).startswith(b"\x01")
