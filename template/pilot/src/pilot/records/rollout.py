"""The rollout: who gets the AI's answers, in stages. One row of the record holds the stage, and each change names the
version that it saw. A challenger, a model that answers a share of the items in place of the one in force, has a row of
its own and the same rules."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from pilot.contract import PilotError
from pilot.records import audit, controls

NAME, CHALLENGER = "rollout", "challenger"
# Who changes a stage that steps back.
BY_ITSELF = "service"
MOST_TEAMS, LONGEST_TEAM = 100, 200


@dataclass(frozen=True)
class Reach:
    """Who is in a stage: a share of the subjects, from 0 to 1, and whole teams. A team's name is the `group` of its
    items, or that of the key which sends them."""

    share: float = 0.0
    teams: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises PilotError for a share or a team that is none."""
        if not 0 <= self.share <= 1:
            raise PilotError(f"A share is between 0 and 1, and {self.share:g} is not.")
        names = [name for name in self.teams if not 1 <= len(name) <= LONGEST_TEAM or not name.isprintable()]
        if names or len(self.teams) > MOST_TEAMS:
            raise PilotError(
                f"A team is named by 1 to {LONGEST_TEAM} printable characters, {MOST_TEAMS} teams at most."
            )

    def __str__(self) -> str:
        names = [f"team {name}" for name in self.teams]
        parts = ["everybody"] if self.share == 1 else [f"{self.share * 100:g}%"] * (self.share > 0) + names
        return " and ".join(parts) or "nobody"

    @property
    def compared(self) -> bool:
        """Whether some get the answers and the rest does not."""
        return 0 < self.share < 1 or (self.share == 0 and bool(self.teams))

    def within(self, other: Reach) -> bool:
        """Whether everybody in it is in `other` too."""
        return other.share == 1 or (self.share <= other.share and set(self.teams) <= set(other.teams))


@dataclass(frozen=True)
class Stage:
    """A stage of the rollout, or of the challenger `model`. Its `salt` stays for the whole rollout, and for as long as
    the challenger is the same, so whoever is in a stage is in each wider one.

    `before` are the stages that led here, the widest last: the canary steps back to it. `at` is when the stage began.
    """

    version: int
    reach: Reach
    salt: str
    at: datetime
    by: str
    before: tuple[Reach, ...] = field(default=())
    model: str | None = None

    @property
    def name(self) -> str:
        """The name of its row."""
        return CHALLENGER if self.model else NAME

    def includes(self, subject: str, *teams: str | None) -> bool:
        """Whether a subject of these teams gets the answers, by its hash: the same in each process and at all times."""
        if not set(self.reach.teams).isdisjoint(teams):
            return True
        digest = hashlib.blake2b((self.salt + subject).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.reach.share * 2**64


class Stale(PilotError):
    """Somebody else changed the rollout meanwhile. `stage` is the present one."""

    def __init__(self, stage: Stage | None, seen: int) -> None:
        now = f"version {stage.version}, {stage.reach}, by {stage.by}" if stage else "none"
        super().__init__(f"The rollout has changed since version {seen}: it is {now}. Look at it, then try again.")
        self.stage = stage


def read(connection: Connection, name: str = NAME) -> Stage | None:
    """The stage in force; none before the first. A row that cannot be understood reaches nobody."""
    row = controls.in_force(connection, name)
    if row is None:
        return None
    try:
        value = orjson.loads(row.value)
        before = tuple(Reach(share, tuple(teams)) for share, teams in value["before"])
        reach = Reach(value["share"], tuple(value["teams"]))
        return Stage(row.version, reach, str(value["salt"]), row.at, row.by, before, value.get("model"))
    except (ValueError, KeyError, TypeError, PilotError):
        return Stage(row.version, Reach(), "", row.at, row.by)


def challenger(connection: Connection) -> Stage | None:
    """The challenger that answers a share of the items now; none where there is none."""
    stage = read(connection, CHALLENGER)
    return stage if stage and stage.model and stage.reach.share else None


def change(connection: Connection, wanted: Reach, seen: int, by: str, model: str | None = None, **why: Any) -> Stage:
    """Opens another stage, of the rollout or of the challenger `model`. `seen` is the version that the change was
    decided on, 0 where there was none. Where the rollout reaches nobody, a challenger ends too.

    Raises Stale where that is not the version in force; `refuse` then notes the attempt, in a transaction of its own.
    """
    stage = read(connection, CHALLENGER if model else NAME)
    led = (*stage.before, stage.reach) if stage and stage.model == model else ()
    before = tuple(reach for reach in led if reach.within(wanted) and reach != wanted)
    made = _put(connection, stage, wanted, before, seen, by, "changed", why, model)
    if model is None and wanted == Reach():
        end_challenger(connection, by)
    return made


def end_challenger(connection: Connection, by: str) -> str | None:
    """Gives all items back to the model in force, and returns the challenger that ended; none where there was none."""
    stage = challenger(connection)
    if stage is None:
        return None
    change(connection, Reach(), stage.version, by, stage.model)
    return stage.model


def step_back(connection: Connection, seen: int, by: str, why: dict[str, Any], name: str = NAME) -> Stage:
    """Goes back to the stage before, and to nobody from the first one. Raises Stale like `change`."""
    stage = read(connection, name)
    *before, wanted = stage.before if stage and stage.before else (Reach(),)
    return _put(connection, stage, wanted, tuple(before), seen, by, "stepped_back", why, stage.model if stage else None)


def refuse(connection: Connection, wanted: Reach, by: str, why: str, name: str = NAME) -> None:
    """Notes an attempt that was not carried out."""
    audit.append(connection, by, f"{name}.refused", {"wanted": _shown(wanted), "why": why})


def _put(
    connection: Connection,
    stage: Stage | None,
    wanted: Reach,
    before: tuple[Reach, ...],
    seen: int,
    by: str,
    event: str,
    why: dict[str, Any],
    model: str | None,
) -> Stage:
    if (stage.version if stage else 0) != seen:
        raise Stale(stage, seen)
    same = stage if stage and stage.model == model else None
    salt = same.salt if same and same.salt else secrets.token_hex(8)
    kept = [[reach.share, reach.teams] for reach in before if reach != Reach()]
    name, of = (CHALLENGER, {"model": model}) if model else (NAME, {})
    controls.put(connection, name, orjson.dumps({**_shown(wanted), "salt": salt, "before": kept, **of}).decode(), by)
    found = read(connection, name)
    assert found is not None  # noqa: S101 - it was written in this transaction
    detail = {"before": _shown(same.reach) if same else None, "after": _shown(wanted), "version": found.version, **of}
    audit.append(connection, by, f"{name}.{event}", {**detail, **why})
    return found


def _shown(reach: Reach) -> dict[str, Any]:
    return {"share": reach.share, "teams": list(reach.teams)}
