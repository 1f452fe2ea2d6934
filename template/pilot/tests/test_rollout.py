"""The rollout: who is reached, by which stage, who changes it, and what happens when its store is away."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import App, AppMaker, ServerMaker, wait_until
from scipy.stats import binomtest, chi2_contingency
from sqlalchemy import Engine, update

from pilot.contract import PilotError
from pilot.records import rollout
from pilot.records.database import migrate, now, open_database, writing
from pilot.records.rollout import Reach, Stage, Stale
from pilot.records.tables import audit, items, settings_in_force
from pilot.serving import live_settings
from pilot.serving.live_settings import LiveSettings
from pilot.settings import load_settings

SUBJECTS = [f"subject-{number}" for number in range(100_000)]


def opened(engine: Engine, reach: Reach, seen: int, by: str = "olga") -> Stage:
    with writing(engine) as connection:
        return rollout.change(connection, reach, seen, by)


def reached(share: float, salt: str = "a") -> set[str]:
    stage = Stage(1, Reach(share), salt, now(), "olga")
    return {subject for subject in SUBJECTS if stage.includes(subject)}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.99])
def test_a_share_of_the_subjects_is_reached_within_the_error_of_a_sample(share: float) -> None:
    assert binomtest(len(reached(share)), len(SUBJECTS), share).pvalue > 0.001


def test_nobody_and_everybody_are_exactly_that() -> None:
    assert reached(0) == set()
    assert reached(1) == set(SUBJECTS)


def test_whoever_is_in_a_stage_is_in_each_wider_one() -> None:
    stages = [reached(share) for share in (0.01, 0.1, 0.25, 0.5, 1.0)]
    assert all(narrow < wide for narrow, wide in pairwise(stages))


def test_two_rollouts_draw_independently() -> None:
    one, other = reached(0.3, "a"), reached(0.3, "b")
    table = [[len(one & other), len(one - other)], [len(other - one), len(set(SUBJECTS) - one - other)]]
    assert chi2_contingency(table).pvalue > 0.001


def test_a_rollout_draws_by_one_salt_from_its_first_stage_on(engine: Engine) -> None:
    stages = [opened(engine, Reach(share), seen) for seen, share in enumerate((0.1, 0.25, 0.0, 0.5))]
    assert len({stage.salt for stage in stages}) == 1
    assert [stage.version for stage in stages] == [1, 2, 3, 4]
    with engine.connect() as connection:
        assert rollout.read(connection) == stages[-1]


def test_a_team_is_reached_by_its_name_beside_the_share(engine: Engine) -> None:
    stage = opened(engine, Reach(0.0, ("north",)), 0)
    assert stage.includes("anybody", "north")
    assert stage.includes("anybody", None, "north")
    assert not stage.includes("anybody", "south")
    assert str(Reach(0.1, ("north", "south"))) == "10% and team north and team south"


@pytest.mark.parametrize(
    ("share", "teams"), [(1.5, ()), (-0.1, ()), (float("nan"), ()), (0.1, ("",)), (0.1, ("a\nb",))]
)
def test_what_is_no_stage_is_refused(share: float, teams: tuple[str, ...]) -> None:
    with pytest.raises(PilotError):
        Reach(share, teams)


@pytest.mark.parametrize(
    "value", ["", "[]", "{}", '{"share": 2, "teams": [], "salt": "a", "before": []}', '{"share": "x"']
)
def test_a_row_that_cannot_be_understood_reaches_nobody(value: str, engine: Engine) -> None:
    opened(engine, Reach(1.0), 0)
    with writing(engine) as connection:
        connection.execute(update(settings_in_force).values(value=value).where(settings_in_force.c.name == "rollout"))
        stage = rollout.read(connection)
    assert stage is not None
    assert stage.reach == Reach()
    assert opened(engine, Reach(0.1), stage.version).salt


def test_of_two_who_change_the_same_version_one_is_refused(engine: Engine) -> None:
    opened(engine, Reach(0.1), 0)

    def change(share: float) -> Stage | Stale:
        try:
            return opened(engine, Reach(share), 1)
        except Stale as error:
            return error

    with ThreadPoolExecutor(2) as both:
        found = list(both.map(change, (0.25, 0.5)))
    lost = next(one for one in found if isinstance(one, Stale))
    won = next(one for one in found if isinstance(one, Stage))
    assert lost.stage == won
    assert "has changed since version 1: it is version 2, " in str(lost)


def test_a_step_back_goes_the_way_that_was_come(engine: Engine) -> None:
    for seen, share in enumerate((0.1, 0.25, 0.5)):
        opened(engine, Reach(share), seen)

    def back(seen: int) -> Reach:
        with writing(engine) as connection:
            return rollout.step_back(connection, seen, "service", {"pairs": 60}).reach

    assert [back(seen) for seen in (3, 4, 5)] == [Reach(0.25), Reach(0.1), Reach()]
    with engine.connect() as connection:
        last = orjson.loads(list(connection.execute(audit.select().order_by(audit.c.seq)))[-1].detail)
    assert last == {
        "before": {"share": 0.1, "teams": []}, "after": {"share": 0.0, "teams": []}, "version": 6, "pairs": 60
    }  # fmt: skip


def test_a_rollback_is_followed_by_no_step_back_to_what_was_before_it(engine: Engine) -> None:
    for seen, share in enumerate((0.1, 0.25, 0.0, 0.5)):
        opened(engine, Reach(share), seen)
    with writing(engine) as connection:
        assert rollout.step_back(connection, 4, "service", {}).reach == Reach()


# In the service.


def reach(app: App, share: float, *teams: str) -> int:
    """Opens a stage as an operator does at the database, and returns its version."""
    with writing(app.service.engine) as connection:
        stage = rollout.read(connection)
        made = rollout.change(connection, Reach(share, teams), stage.version if stage else 0, "olga")
    app.service.live.read()
    return made.version


def test_who_is_reached_sees_the_answer_and_the_rest_is_in_shadow(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    version = reach(app, 0.4)
    seen = {name: app.post(subject=name) for name in map(str, range(60))}
    statuses = {name: answer.status_code for name, answer in seen.items()}
    assert set(statuses.values()) == {200, 202}
    assert 8 <= list(statuses.values()).count(200) <= 42
    assert {app.post(subject=name).status_code == statuses[name] for name in statuses} == {True}, "each keeps its side"
    app.drained()
    assert {(row.mode, row.rollout_version) for row in app.rows(items)} == {("assist", version), ("shadow", version)}
    reach(app, 0.8)
    wider = {name for name in statuses if app.post(subject=name).status_code == 200}
    assert wider > {name for name, status in statuses.items() if status == 200}


def test_without_a_rollout_whoever_sends_is_answered_in_the_mode_in_force(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    assert app.post().status_code == 200
    assert [row.rollout_version for row in app.rows(items)] == [None]


def test_an_item_without_a_subject_keeps_its_side_by_its_body(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    reach(app, 0.5)
    texts = [f"text {number}" for number in range(40)]
    first = [app.post(text).status_code for text in texts]
    assert set(first) == {200, 202}
    assert [app.post(text).status_code for text in texts] == first


@pytest.mark.parametrize("fields", [{"who": "bank"}, {"group": "north"}])
def test_a_team_is_reached_by_the_group_of_its_items_or_by_its_key(fields: dict[str, str], make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    reach(app, 0.0, "north", "bank")
    assert app.post().status_code == 202
    assert app.post(**fields).status_code == 200


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_a_rollout_shows_nothing_that_the_mode_does_not(mode: str, make_app: AppMaker) -> None:
    app = make_app(mode=mode)
    reach(app, 1.0)
    assert app.post().json()["mode"] == mode


def get(app: App) -> dict[str, Any]:
    return dict(app.get("/v1/rollout", "olga").json())


def put(app: App, who: str = "olga", **body: Any) -> Any:
    return app.client.put("/v1/rollout", json=body, headers=app.headers(who))


def test_over_http_an_operator_reads_the_stage_and_takes_it_back(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    assert get(app) == {"version": 0, "share": 1.0, "teams": [], "at": None, "by": None}
    first = put(app, version=0, share=0.5, teams=["north", "north"])
    assert (first.status_code, first.json()["teams"]) == (200, ["north"])
    assert put(app, version=1, share=0.0).json()["by"] == "olga"
    assert app.post().status_code == 202, "obeyed at once here, and within a second elsewhere"


def test_over_http_nobody_more_is_reached(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    version = reach(app, 0.1)
    refused = put(app, version=version, share=0.5)
    assert (refused.status_code, get(app)["share"]) == (403, 0.1)
    assert "`pilot rollout to` opens wider stages" in refused.json()["detail"]
    assert put(app, version=version, share=0.1, teams=["north"]).status_code == 403


def test_of_two_operators_one_gets_409_with_what_is_in_force_and_both_are_on_record(make_app: AppMaker) -> None:
    app = make_app(mode="assist")
    version = reach(app, 0.5)
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda share: put(app, version=version, share=share), (0.2, 0.1)))
    assert sorted(one.status_code for one in found) == [200, 409]
    lost = next(one.json() for one in found if one.status_code == 409)
    assert lost["present"] == get(app)
    events = [row.event for row in app.rows(audit) if row.event.startswith("rollout") and row.actor == "olga"]
    assert sorted(events) == ["rollout.changed", "rollout.changed", "rollout.refused"]


@pytest.mark.parametrize(
    "body",
    [
        {"share": 0.1},
        {"version": 1, "share": 2},
        {"version": 1, "share": 0, "teams": [""]},
        {"version": 0, "share": 0, "teams": ["a\nb"]},
    ],
)
def test_a_change_that_is_none_is_refused(body: dict[str, Any], make_app: AppMaker) -> None:
    assert put(make_app(), **body).status_code == 422


def test_while_the_store_is_away_the_last_stage_holds_and_then_nobody_is_reached(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(engine, Reach(1.0), 0)
    clock = time.monotonic()
    monkeypatch.setattr(live_settings.time, "monotonic", lambda: clock)
    live = LiveSettings(engine)
    assert live.reach == Reach(), "before it was read once"
    live.read()
    live.mode = live_settings.Mode.AUTO

    def fail(_: LiveSettings) -> None:
        raise ConnectionError

    monkeypatch.setattr(LiveSettings, "read", fail)
    clock += 60
    asyncio.run(live.refresh())
    assert (live.admit("ann")[0], live.reach) == ("auto", Reach(1.0))
    clock += 2
    asyncio.run(live.refresh())
    assert (live.admit("ann")[0], live.reach) == ("shadow", Reach())


def test_before_the_store_was_read_nobody_is_reached_whatever_the_mode(engine: Engine) -> None:
    live = LiveSettings(engine)
    live.mode = live_settings.Mode.AUTO
    assert live.admit("ann") == ("shadow", None)


def test_two_processes_obey_within_seconds_and_put_everybody_on_the_same_side(
    make_server: ServerMaker, database: dict[str, str], tmp_path: Path
) -> None:
    both = [make_server(mode="assist", database=database) for _ in range(2)]
    both[1].keys = both[0].keys = {**both[0].keys, **both[1].keys}
    for server in both:
        server.start()
    engine = open_database(load_settings(root=tmp_path, **database))
    migrate(engine)
    opened(engine, Reach(0.5), 0)
    texts = [f"text {number}" for number in range(16)]

    def sides(server: Any) -> list[int]:
        return [server.post(text).status_code for text in texts]

    wait_until(lambda: all(set(sides(server)) == {200, 202} for server in both), 10)
    assert sides(both[0]) == sides(both[1])
    opened(engine, Reach(), 1)
    begun = time.monotonic()
    wait_until(lambda: all(set(sides(server)) == {202} for server in both), 10)
    assert time.monotonic() - begun < 60
    engine.dispose()
