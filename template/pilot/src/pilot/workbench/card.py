"""The system card: what the pilot is, what it depends on, and what threatens it, written from what is configured now.

It names what it was written from, so that `pilot check` sees from the checkout alone when it is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from pilot.charter import CHARTER, OBJECTIVES, read_charter, read_objectives
from pilot.contract import ModelUnavailable, PilotError, Team, is_remote, labels
from pilot.frontmatter import Issue, read_text
from pilot.workbench import evidence

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pilot.models.store import Card
    from pilot.settings import Settings

CARD = Path("phases/4-harden/system-card.md")
RULE = "system-card-current"
FIX = "Run `pilot card`, read what it wrote, and commit it."
_PLAYBOOK, _EXAMPLES = Path("phases/4-harden/playbook.md"), Path("data/examples.csv")


@dataclass(frozen=True)
class Threat:
    """What may happen, what keeps it off here, and what is left to do, if anything."""

    what: str
    kept_off: str
    to_do: str = ""


def sources(root: Path) -> dict[str, str]:
    """The documents and the team's code that a card is written from, each with the begin of its SHA-256."""
    files = [*(root / file for file in (CHARTER, OBJECTIVES, _PLAYBOOK, _EXAMPLES)), *(root / "src").rglob("*.py")]
    return {
        file.relative_to(root).as_posix(): evidence.digest(read_text(file) or "")[:12]
        for file in sorted(files)
        if file.is_file()
    }


def read(root: Path) -> dict[str, Any] | None:
    """What the card was written from, by its own record; None where there is no card. Raises PilotError."""
    text = read_text(root / CARD)
    if text is None:
        return None
    try:
        facts = yaml.safe_load(text.split("---\n")[1])
        return {"sources": dict(facts["sources"]), "settings": dict(facts["settings"]), "model": facts["model"]}
    except (IndexError, KeyError, TypeError, ValueError, yaml.YAMLError):
        raise PilotError(f"{CARD} is not as `pilot card` wrote it. {FIX}") from None


def stale(root: Path) -> list[Issue]:
    """What changed in the checkout since the card was written; nothing where there is none."""
    try:
        card = read(root)
    except PilotError:
        return [Issue(CARD.as_posix(), None, "is not as `pilot card` wrote it.", FIX, RULE)]
    if card is None:
        return []
    now = sources(root)
    changed = sorted(name for name in now.keys() | card["sources"].keys() if now.get(name) != card["sources"].get(name))
    if not changed:
        return []
    named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return [Issue(CARD.as_posix(), None, f"was written before {named} changed.", FIX, RULE)]


def configured(settings: Settings) -> dict[str, str]:
    """The settings that matter to whoever depends on the pilot or reviews it, in words. No secret is among them."""
    database = urlsplit(settings.database_url)
    found = {
        "database": "SQLite, a file" if settings.database_file else f"PostgreSQL on {database.hostname or 'a socket'}",
        "contents at rest": "sealed" if settings.data_key else "in clear",
        "contents are kept": f"{settings.retention_days} days" if settings.retention_days else "until they are erased",
        "signing in": f"{settings.oidc_issuer}, by {settings.oidc_claim}" if settings.oidc_issuer else "reviewer keys",
        "without TLS": settings.plain_hosts or "this machine alone",
        "items of a caller": f"{settings.caller_rate} a minute" if settings.caller_rate else "as many as it sends",
        "known items": f"every {settings.known_interval:g} s" if settings.known_interval else "none are asked",
        "mode auto uses": f"answers with a confidence of {settings.threshold:g} or more"
        + "".join(f", of {name} {least:g}" for name, least in sorted(settings.thresholds.items())),
        "answers within": f"{settings.model_deadline:g} s, else people decide",
    }
    if settings.llm_model:
        host = urlsplit(settings.llm_base_url or "").hostname or "its own endpoint"
        redacted = "taken out before it is sent" if settings.llm_redact else "sent as it comes"
        found |= {"LLM": f"{settings.llm_model}, {host}", "personal data for the LLM": redacted}
        found["cost of a day"] = f"{settings.daily_cost:g} at most" if settings.daily_cost else "no ceiling"
    return found


def _model(team: Team, settings: Settings, version: str | None) -> dict[str, Any]:
    """The model that answers: its version, labels, and what is known of it. `version` is the one that was promoted.
    Raises PilotError where it does not load."""
    from pilot.models.store import at_version, load_active, store_of

    kept = version if version and store_of(settings, version) else None
    with at_version(settings, kept) if kept else nullcontext(settings) as of_then:
        model = team.model(of_then)
        found = {"version": model.version, "remote": is_remote(model), "labels": labels(model), "trained": None}
        if not found["remote"]:
            # A model of the team's own making keeps no card.
            with suppress(ModelUnavailable):
                found["trained"] = card = load_active(of_then).card
                found["measured"] = _measured(card)
    return found


def _measured(card: Card) -> str:
    """The cross-validated score of the model, up to the rows that it was measured on."""
    first = card.score.value
    match card.task:
        case "extract":
            fields = card.scores[0].value
            return f"found {round(100 * fields)} % of the fields, all of them in {round(100 * first)} % of"
        case "draft":
            return f"wrote {round(100 * first)} % of the words as people did for"
        case "score":
            median = card.scores[1].value
            return f"was off by {first:.3g} on average (the median of all: {median:.3g}) for"
    return f"was right on {round(100 * first)} % of"


def _threats(settings: Settings, remote: bool, mode: str, endless: int, personal: bool) -> Iterator[Threat]:
    at_rest = "contents are sealed, field by field" if settings.data_key else "contents are in clear"
    yield Threat("A stolen database or backup", at_rest, "" if settings.data_key else "Set PILOT_DATA_KEY.")
    yield Threat(
        "A key in the wrong hands",
        "keys end, are kept as hashes, and are revoked within seconds",
        f"{endless} keys never end (pilot keys rotate)." if endless else "",
    )
    signing_in = f"by {settings.oidc_issuer}" if settings.oidc_issuer else "with keys of their own"
    yield Threat(
        "Somebody decides in another's name", f"reviewers sign in {signing_in}; each decision is in the audit trail"
    )
    yield Threat(
        "Contents are read on the wire",
        "TLS with a certificate that holds, to the database and the provider",
        f"These hosts are reached without: {settings.plain_hosts}. Is nobody else on their network?"
        if settings.plain_hosts
        else "",
    )
    if remote:
        redacted = bool(settings.llm_redact)
        yield Threat(
            "The provider of the LLM learns of persons",
            "addresses, IBANs, card and phone numbers are taken out" if redacted else "items are sent as they come",
            "Set PILOT_LLM_REDACT, or say in the charter why not." if personal and not redacted else "",
        )
        yield Threat(
            "A flood, a loop or a mistake costs money",
            f"a ceiling of {settings.daily_cost:g} a day" if settings.daily_cost else "no ceiling",
            "" if settings.daily_cost else "Set PILOT_DAILY_COST.",
        )
    yield Threat(
        "A text that is made to mislead the model",
        f"a label of the list is the most it gets; mode {mode}"
        + (", where a share of the answers is judged blind" if mode == "auto" else ", where people decide"),
        "" if mode != "auto" else "Try it (pilot model attack)." if remote else "",
    )
    yield Threat(
        "A caller takes the service from the others",
        f"{settings.caller_rate} items a minute, then 429" if settings.caller_rate else "no rate",
        "" if settings.caller_rate else "Set PILOT_CALLER_RATE.",
    )
    yield Threat(
        "Somebody alters the record",
        "each change is an entry of a chain, and a broken one is named (pilot audit verify)",
    )
    kept = f"they are erased after {settings.retention_days} days" if settings.retention_days else "nothing erases them"
    endless_contents = personal and not settings.retention_days
    due = "Set PILOT_RETENTION_DAYS, and erase daily (pilot data purge)." if endless_contents else ""
    yield Threat("Contents are kept for longer than anybody needs them", kept, due)
    yield Threat(
        "The model gets worse, and nobody sees it",
        f"known items every {settings.known_interval:g} s, with an alert"
        if settings.known_interval
        else "no known items",
        "" if settings.known_interval else "Set PILOT_KNOWN_INTERVAL.",
    )


def write(root: Path, team: Team, settings: Settings, engine: Engine, today: date) -> list[Threat]:
    """Writes the card. Returns the threats that leave something to do. Raises PilotError where no model loads."""
    from pilot.records import controls, keys
    from pilot.workbench import conditions, pages, phrases
    from pilot.workbench.pilot import Pilot

    charter = read_charter(root)
    if charter is None:
        raise PilotError(f"There is no {CHARTER}. Run this in a pilot.")
    with engine.connect() as connection:
        mode, promoted = controls.mode(connection).value, controls.model(connection)
        held = [key for key in keys.listed(connection) if key["revoked_at"] is None]
    model = _model(team, settings, promoted)
    endless = sum(key["expires_at"] is None for key in held)
    found = list(_threats(settings, model["remote"], mode, endless, bool(charter.personal_data)))
    head = {
        "written": today.isoformat(),
        "model": model["version"],
        "settings": configured(settings),
        "sources": sources(root),
    }
    note = "# Written by `pilot card`, which replaces this file. `pilot check` fails once it is out of date.\n"
    facts = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120)
    page = pages.render(
        "card.md",
        charter=charter,
        target=phrases.charter_target(charter),
        problem=conditions.problem(Pilot(root, today)),
        objectives=read_objectives(root),
        model=model,
        mode=mode,
        fields=_fields(team.item),
        answered=_fields(team.prediction),
        settings=head["settings"],
        providers=_providers(root),
        threats=found,
    )
    (root / CARD).parent.mkdir(parents=True, exist_ok=True)
    pages.write(root / CARD, f"---\n{note}{facts}---\n\n{page}")
    return [threat for threat in found if threat.to_do]


def _providers(root: Path) -> list[Any]:
    """Who provides what, as the playbook has it; nobody where it cannot be read, which its own check reports."""
    from pilot.workbench.documents import operations

    try:
        facts: Any = operations.read(root, "playbook").document.facts
    except PilotError:
        return []
    return list(facts.providers)


def _fields(schema: Any) -> list[tuple[str, str, str]]:
    """The fields of a schema: name, type, and description."""
    return [
        (name, getattr(field.annotation, "__name__", None) or str(field.annotation), field.description or "")
        for name, field in schema.model_fields.items()
    ]
