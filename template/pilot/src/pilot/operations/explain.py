"""One answer from its input to its outcome, rebuilt from the records, and given again by the model of then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from typing import Any

import orjson
from sqlalchemy import Connection, select

from pilot.contract import Answer, PilotError, Team
from pilot.models.store import replayed, store_of
from pilot.records import queries
from pilot.records.crypto import Vault
from pilot.records.tables import audit
from pilot.serving.inference import checked, config_hash
from pilot.settings import Settings

# Two runs of one model on two machines may differ in the last digits.
_DIGITS = 1e-6
_MOMENT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Explanation:
    """The lines to read, the answer first. `same` is whether the model of then answers the same today; None where it
    was not asked again."""

    lines: tuple[str, ...]
    same: bool | None


def explain(team: Team, settings: Settings, connection: Connection, vault: Vault, item_id: str) -> Explanation:
    """What was asked, answered, shown and decided.

    Raises PilotError where there is no such item, or the data key that sealed it is not set.
    """
    row = queries.item(connection, item_id)
    if row is None:
        raise PilotError(f"There is no item {item_id!r}. Callers get its id with each answer, and the page shows it.")
    answers = queries.answers_of(connection, vault, item_id)
    outcomes = queries.outcomes_of(connection, vault, item_id)
    primary = next((one for one in answers if one["role"] == "primary"), None)
    same, told = _again(team, settings, vault, row, primary)
    lines = [
        f"answer     {_said(primary)}",
        f"decided    {_decided(outcomes)}",
        f"replay     {told}",
        f"input      {_content(vault, row)}",
        f"asked      {row.received_at:{_MOMENT}} UTC by {row.caller}, request {row.request_id}, mode {row.mode}",
        f"response   {row.status or 'pending'}{f', because {row.reason}' if row.reason else ''}; "
        f"review: {row.review or 'none'}",
    ]
    for one in answers:
        settled = "as today" if one["config_hash"] == config_hash(settings) else "changed since"
        lines.append(
            f"{one['role']:<10} {_said(one)}; version {one['model_version']}, settings {one['config_hash']} "
            f"({settled}), {'shown' if one['shown'] else 'not shown'}{_cost(one)}"
        )
    for one in outcomes:
        flag = f", flagged {one['flag']}" if one["flag"] else ""
        final = orjson.dumps(one["final"]).decode()
        lines.append(
            f"outcome {one['version']:<2} {final} by {one['made_by']} at {one['at']:{_MOMENT}} UTC, "
            f"{one['action'] or 'without having seen the answer'}{flag}"
        )
    for one in queries.reports_of(connection, vault, item_id):
        told = f": {' '.join(one['comment'].split())}" if one["comment"] else ""
        lines.append(f"report r{one['id']:<2} {one['flag']} by {one['made_by']} at {one['at']:{_MOMENT}} UTC{told}")
    return Explanation((*lines, *_trail(connection, item_id)), same)


def _said(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "none: no model was asked"
    if answer["failure"]:
        return f"none: {answer['failure']}"
    if answer["prediction"] is None:
        return "erased" if answer["ended_at"] else "not given yet"
    sure = f", confidence {answer['confidence']:.3f}" if answer["confidence"] is not None else ""
    by_field = ", ".join(f"{name} {one:.3f}" for name, one in (answer["confidences"] or {}).items())
    return f"{orjson.dumps(answer['prediction']).decode()}{sure}{by_field and f' ({by_field})'}"


def _decided(outcomes: list[dict[str, Any]]) -> str:
    if not outcomes:
        return "nothing yet"
    last = outcomes[-1]
    agreed = {True: "as the answer", False: "not as the answer", None: "no answer to compare"}[last["agreement"]]
    return f"{orjson.dumps(last['final']).decode()} by {last['made_by']}, {agreed}"


def _content(vault: Vault, row: Any) -> str:
    if row.erased_at is not None:
        return f"erased at {row.erased_at:{_MOMENT}} UTC"
    return vault.open(row.content).decode()


def _cost(answer: dict[str, Any]) -> str:
    cost = f", cost {answer['cost']:.6f}" if answer["cost"] is not None else ""
    return cost + (f", {answer['tokens']} tokens" if answer["tokens"] is not None else "")


def _again(
    team: Team, settings: Settings, vault: Vault, row: Any, primary: dict[str, Any] | None
) -> tuple[bool | None, str]:
    """Asks the model of then again, where it is here and costs nothing."""
    if primary is None or primary["failure"] or primary["prediction"] is None or row.erased_at is not None:
        return None, "nothing to give again"
    version = primary["model_version"]
    if store_of(settings, version) is None:
        return None, f"not asked again: version {version} is not in the model store"
    item = team.item.model_validate_json(vault.open(row.content))
    try:
        made: Answer = checked(replayed(team, settings, version, [item])[0], team.prediction)
    except PilotError as error:
        return None, f"not asked again: {error}"
    given = made.prediction.model_dump(mode="json") if made.prediction else None
    recorded = [primary[name] for name in ("prediction", "confidence", "confidences")]
    if _same([given, made.confidence, made.confidences], recorded):
        return True, f"version {version} gives the same answer today"
    return False, f"version {version} gives ANOTHER answer today: {orjson.dumps(given).decode()}, {made.confidence}"


def _same(made: Any, recorded: Any) -> bool:
    """Whether two values are the same but for the last digits of the numbers in them."""
    if isinstance(made, dict) and isinstance(recorded, dict):
        return made.keys() == recorded.keys() and all(_same(made[name], recorded[name]) for name in made)
    if isinstance(made, list) and isinstance(recorded, list):
        return len(made) == len(recorded) and all(map(_same, made, recorded))
    if isinstance(made, float) and isinstance(recorded, float):
        return isclose(made, recorded, rel_tol=_DIGITS, abs_tol=_DIGITS)
    return bool(made == recorded)


def _trail(connection: Connection, item_id: str) -> Iterator[str]:
    named = select(audit).where(audit.c.detail.contains(item_id, autoescape=True)).order_by(audit.c.seq)
    for entry in connection.execute(named):
        yield f"audit {entry.seq:<4} {entry.at:{_MOMENT}} UTC  {entry.event} by {entry.actor}"
