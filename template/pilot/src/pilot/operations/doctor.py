"""Looks at what a service needs, one thing after the other, and says what is wrong and how to fix it."""

from __future__ import annotations

import os
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import orjson
from dotenv import dotenv_values
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from pilot.charter import Charter, read_charter
from pilot.contract import ModelUnavailable, PilotError, Team, is_remote, load_team
from pilot.models.store import load_active, stores
from pilot.records import controls, keys, privacy
from pilot.records.database import fault, migrate, open_database, shown_name, writing
from pilot.records.queries import service_health
from pilot.records.tables import items
from pilot.settings import Settings, load_settings
from pilot.workbench import card, evidence

State = Literal["ok", "wrong", "note"]
# Clocks that differ by more make records that seem to be of the future.
DIFFERS = timedelta(seconds=5)
LEAST_FREE = 0.1
_SECONDS = 5.0
_SOON = timedelta(days=14)
ALERTS = ("ALERT_WEBHOOK", "ALERT_MAIL_TO", "ALERT_SMTP", "ALERT_WATCHDOG")


@dataclass(frozen=True)
class Finding:
    """What a look found: `ok`, `wrong` with its fix, or a `note` of what is not needed or not known."""

    state: State
    said: str
    fix: str = ""


class Patient:
    """The pilot in `root`. What several looks need is made once; each look reports what keeps it from being made."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def settings(self) -> Settings:
        """The settings in force. Raises PilotError."""
        return load_settings(root=self.root)

    @cached_property
    def team(self) -> Team:
        """The team's code. Raises PilotError."""
        return load_team()

    @cached_property
    def charter(self) -> Charter:
        """The charter. Raises PilotError."""
        return read_charter(self.root) or Charter()

    @cached_property
    def engine(self) -> Engine:
        """The database, at this version's schema. Raises PilotError."""
        engine = open_database(self.settings)
        migrate(engine)
        return engine


LOOKS: dict[str, Callable[[Patient], Iterator[Finding]]] = {}


def look(run: Callable[[Patient], Iterator[Finding]]) -> Callable[[Patient], Iterator[Finding]]:
    """Registers a look by the name of its function."""
    LOOKS[run.__name__.removeprefix("_").replace("_", " ")] = run
    return run


def examine(root: Path) -> Iterator[tuple[str, Finding]]:
    """What each look finds, by its name. One that cannot be made is a finding, and the next one is made."""
    patient = Patient(root)
    for name, run in LOOKS.items():
        try:
            for found in run(patient):
                yield name, found
        except PilotError as error:
            yield name, Finding("wrong", str(error))
        except SQLAlchemyError as error:
            told = fault(error)
            yield name, Finding("wrong", f"The database failed: {told.what}.", told.fix)
        except Exception as error:
            said = f"{type(error).__name__} while it was looked at."
            yield name, Finding("wrong", said, "The log of the service may say more.")


@look
def _settings(patient: Patient) -> Iterator[Finding]:
    files = (patient.root / ".env", *(patient.root / "secrets").glob("*"))
    open_ = [file for file in files if file.is_file() and file.stat().st_mode & 0o077]
    if open_:
        names = " ".join(file.relative_to(patient.root).as_posix() for file in open_)
        yield Finding("wrong", f"Others on this machine can read {names}.", f"chmod 600 {names}")
    yield Finding("ok", f"they can be read, for the pilot in {patient.settings.root}")


@look
def _retention(patient: Patient) -> Iterator[Finding]:
    days = patient.settings.retention_days
    privacy.check_retention(days, bool(patient.charter.regulated))
    with patient.engine.connect() as connection:
        late = privacy.overdue(connection, days)
    if late:
        yield Finding("wrong", f"{late} items are older than {days} days.", "uv run pilot data purge, daily")
    else:
        yield Finding("ok", f"contents are erased after {days} days" if days else "contents are kept")


@look
def _database(patient: Patient) -> Iterator[Finding]:
    with writing(patient.engine) as connection:
        controls.probe(connection)
        broken = service_health(connection).audit_break
    name = shown_name(patient.engine)
    if broken is not None:
        said = f"{name}: its audit trail does not hold from entry {broken} on."
        yield Finding("wrong", said, "See runbook/restore.md.")
    else:
        yield Finding("ok", f"{name} takes records, and its audit trail holds")


@look
def _clock(patient: Patient) -> Iterator[Finding]:
    with patient.engine.connect() as connection:
        newest = connection.execute(select(func.max(items.c.received_at))).scalar()
        theirs = None
        if connection.dialect.name == "postgresql":
            theirs = connection.execute(select(func.clock_timestamp())).scalar_one()
    here = datetime.now(UTC)
    if newest and newest - here > DIFFERS:
        said = f"The newest record is of {newest:%Y-%m-%d %H:%M:%S} UTC, and it is {here:%Y-%m-%d %H:%M:%S} here."
        yield Finding("wrong", said, "Set the clocks of all machines by NTP.")
    elif theirs and abs(theirs - here) > DIFFERS:
        said = f"The database's clock differs by {abs(theirs - here).total_seconds():.0f} s."
        yield Finding("wrong", said, "Set the clocks of both machines by NTP.")
    else:
        yield Finding("ok", f"{here:%Y-%m-%d %H:%M} UTC, no record is of the future")


@look
def _model(patient: Patient) -> Iterator[Finding]:
    settings, fix = patient.settings, "See runbook/model-refused.md."
    with patient.engine.connect() as connection:
        promoted = controls.model(connection)
    try:
        model = patient.team.model(settings)
    except ModelUnavailable as error:
        yield Finding("wrong", f"{error}")
        return
    if is_remote(model):
        yield Finding("ok", f"{model.version}, behind an API")
        return
    versions = {version for store in stores(settings) for version in store.versions()}
    if promoted and promoted not in versions:
        yield Finding("wrong", f"Version {promoted} is in force, and no store on this machine holds it.", fix)
        return
    version = promoted or load_active(settings).card.version
    for store in stores(settings):
        if version in store.versions():
            store.load(version)
    yield Finding("ok", f"{version} loads")
    if len(versions) < 2:
        yield Finding("note", "There is no other version to go back to: `pilot model retrain` makes one.")


@look
def _keys(patient: Patient) -> Iterator[Finding]:
    with patient.engine.connect() as connection:
        missing, expires = service_health(connection).keyless_roles, keys.first_expiry(connection)
    if expires and expires < datetime.now(UTC) + _SOON:
        yield Finding("wrong", f"A key without a successor ends on {expires:%Y-%m-%d}.", "uv run pilot keys rotate ID")
    for role in missing:
        yield Finding("wrong", f"No {role} has a key in force.", f"uv run pilot keys create {role} --name NAME")
    charter = patient.charter
    if (charter.personal_data or charter.regulated) and not patient.settings.data_keys:
        why = "that items hold personal data" if charter.personal_data else "that the process is regulated"
        yield Finding("wrong", f"Contents are kept in clear, and the charter says {why}.", "Set PILOT_DATA_KEY.")
    elif not missing:
        yield Finding("ok", "callers, reviewers and operators have keys in force")


@look
def _disk(patient: Patient) -> Iterator[Finding]:
    writes_to = patient.settings.database_file or patient.settings.models
    place = next(folder for folder in (writes_to, *writes_to.parents) if folder.exists())
    usage = shutil.disk_usage(place)
    said = f"{usage.free / usage.total:.0%} of {usage.total / 1e9:.0f} GB are free"
    if usage.free < LEAST_FREE * usage.total:
        yield Finding("wrong", f"{said}.", "See runbook/disk-full.md.")
    else:
        yield Finding("ok", said)


@look
def _sign_in(patient: Patient) -> Iterator[Finding]:
    issuer = patient.settings.oidc_issuer
    if issuer is None:
        yield Finding("note", "reviewers sign in with keys; PILOT_OIDC_ISSUER names no identity provider")
        return
    fix = "Check PILOT_OIDC_ISSUER, the network and the proxy. Reviewers can sign in with keys meanwhile."
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as response:  # noqa: S310 - the operator's setting
            named = orjson.loads(response.read()).get("issuer")
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__
        yield Finding("wrong", f"{issuer} does not answer as an identity provider ({reason}).", fix)
        return
    if named != issuer:
        yield Finding("wrong", f"{issuer} calls itself {named}, so nobody's sign-in holds.", f"Set {named}.")
    else:
        yield Finding("ok", f"{issuer} answers")


@look
def _provider(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    try:
        remote = is_remote(patient.team.model(settings))
    except ModelUnavailable:
        # The look at the model says why; there is nothing to call.
        return
    if not remote:
        yield Finding("note", "not needed: the model is the pilot's own")
        return
    if not settings.llm_base_url or settings.llm_api_key is None:
        yield Finding("note", "not looked at: it has no PILOT_LLM_BASE_URL; the first answer will tell")
        return
    yield _asked(settings.llm_base_url.rstrip("/"), settings.llm_api_key.get_secret_value(), str(settings.llm_model))


def _asked(url: str, key: str, model: str) -> Finding:
    """What the provider says to the list of its models, which costs nothing."""
    request = urllib.request.Request(f"{url}/models", headers={"authorization": f"Bearer {key}"})  # noqa: S310 - the provider
    host = urllib.parse.urlsplit(url).hostname or url
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 - the provider
            listed = {str(one["id"]) for one in orjson.loads(response.read())["data"]}
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            fix = "Renew it: PILOT_LLM_API_KEY_FILE, or secrets/llm_api_key."
            return Finding("wrong", f"{host} refuses the key.", fix)
        if error.code in (404, 405):
            return Finding("ok", f"{host} answers; it lists no models, so the key and the name were not tried")
        return Finding("wrong", f"{host} answers with HTTP {error.code}.", "See runbook/model-unreachable.md.")
    except OSError as error:
        reason = getattr(error, "reason", error)
        said = f"{host} cannot be reached ({type(reason).__name__})."
        return Finding("wrong", said, "Check PILOT_LLM_BASE_URL, the network and the proxy.")
    except (ValueError, KeyError, TypeError):
        return Finding("ok", f"{host} answers; its list of models cannot be read, so the name was not tried")
    name = model.partition(":")[2]
    if name not in listed:
        some = ", ".join(sorted(listed)[:5]) or "none"
        return Finding("wrong", f"{host} does not list the model {name!r}.", f"Set PILOT_LLM_MODEL; it lists: {some}.")
    return Finding("ok", f"{host} takes the key and lists {name}")


@look
def _card(patient: Patient) -> Iterator[Finding]:
    written = card.read(patient.root)
    if written is None:
        yield Finding("note", "There is no system card: `pilot card` writes one.")
        return
    now = card.configured(patient.settings)
    changed = [name for name, value in now.items() if written["settings"].get(name) != value]
    if changed:
        yield Finding("wrong", f"The system card is of before a change: {', '.join(changed)}.", card.FIX)
    else:
        yield Finding("ok", "the system card has the settings of here")


@look
def _alerts(patient: Patient) -> Iterator[Finding]:
    named = {**dotenv_values(patient.root / ".env"), **os.environ}
    way = {name: value for name in ALERTS if (value := named.get(name))}
    # Before gate 3 alerts are held back, so nobody has to be named yet.
    asked: State = "wrong" if evidence.read(patient.root).passed(3) else "note"
    if "ALERT_WEBHOOK" not in way and "ALERT_MAIL_TO" not in way:
        yield Finding(asked, "Nobody is called: neither ALERT_WEBHOOK nor ALERT_MAIL_TO is set.", "Set one in .env.")
    elif "ALERT_WEBHOOK" in way:
        yield _reached("ALERT_WEBHOOK", way["ALERT_WEBHOOK"])
    else:
        yield _reached("ALERT_SMTP", f"//{way.get('ALERT_SMTP', 'localhost:25')}")
    if "ALERT_WATCHDOG" in way:
        yield _reached("ALERT_WATCHDOG", way["ALERT_WATCHDOG"])
    else:
        said = "Nobody notices when no alert can come any more: ALERT_WATCHDOG is not set."
        yield Finding(asked, said, "Set it in .env to an address outside of this machine; see runbook/watchdog.md.")


def _reached(name: str, url: str) -> Finding:
    """Whether the address takes a connection. It may hold a secret, so only its host is shown."""
    parts = urllib.parse.urlsplit(url)
    fix = f"Check {name} in .env, and the network."
    try:
        host, port = parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if not host or not port:
        return Finding("wrong", f"{name} is no address.", fix)
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError as error:
        return Finding("wrong", f"{name}: {host}:{port} takes no connection ({type(error).__name__}).", fix)
    return Finding("ok", f"{name}: {host}:{port} takes connections; no alert was sent")
