"""Load tests: what is sent, what is asked of it, and that each thing that is not kept is seen."""

from __future__ import annotations

import importlib.util
import random
import shutil
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import AppMaker
from example_papers import edit, write
from example_team import Item, Local, Prediction, Rules
from sqlalchemy import delete
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.charter import Load, Objectives
from pilot.cli import app as command
from pilot.contract import PilotError, Team
from pilot.operations import load, load_results
from pilot.operations.load_results import LoadResult, Sent, Step
from pilot.records.database import writing
from pilot.records.tables import answers, items
from pilot.workbench import evidence

TEMPLATE = Path(__file__).resolve().parents[2]
OBJECTIVES = Objectives(availability=0.99, latency_p95_ms=250)
TODAY = date(2027, 4, 12)


def answered(count: int = 400, rate: float = 10, seconds: float = 0.02) -> list[Sent]:
    """So many requests that were answered in so many seconds each."""
    return [Sent(n / rate, n / rate, n / rate + seconds, 200, False, f"id-{n}") for n in range(count)]


def missed(sent: list[Sent], planned: int | None = None) -> list[str]:
    checks = load_results.promises(sent, len(sent) if planned is None else planned, OBJECTIVES)
    return [check.name for check in checks if not check.kept]


def test_the_rate_comes_from_the_volume_of_the_charter() -> None:
    # 5,000 a day, a fifth of them in one hour, five times that in bursts, twice that for growth.
    assert Load().peak(5000) == pytest.approx(1000 / 3600 * 10)
    tested = LoadResult("peak", "here", 5000, Load(), Load().peak(5000), 0, 0)
    assert tested.formula.endswith("/ 3600 s x 5 in bursts x 2 for growth = 2.78 requests a second")


def test_arrivals_are_those_of_a_poisson_process_and_the_same_each_time() -> None:
    due = load.arrivals([(1000, 5), (1000, 20)])
    assert due == load.arrivals([(1000, 5), (1000, 20)])
    assert due == sorted(due)
    slow, fast = (sum(low <= moment < low + 1000 for moment in due) for low in (0, 1000))
    # Within four standard deviations.
    assert abs(slow - 5000) < 4 * 5000**0.5
    assert abs(fast - 20000) < 4 * 20000**0.5
    gaps = [b - a for a, b in pairwise(due) if b < 1000]
    # As many gaps below the mean as an exponential distribution has: 1 - 1/e.
    assert sum(gap < 0.2 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.03)


def test_a_healthy_service_keeps_all() -> None:
    assert missed(answered()) == []


def test_three_hundred_milliseconds_more_are_seen() -> None:
    assert missed(answered(seconds=0.32)) == ["95% are answered within"]


def test_a_freeze_of_thirty_seconds_is_seen_in_all_that_were_due_meanwhile() -> None:
    """In a closed model one request would have been late."""
    frozen = [
        replace(one, sent=max(one.sent, 40.0), ended=max(one.ended, 40.02)) if 10 <= one.due < 40 else one
        for one in answered(1200)
    ]
    assert missed(frozen) == ["95% are answered within", "99% are answered within"]


@pytest.mark.parametrize(("count", "names"), [(58, 0), (59, 1), (298, 1), (299, 2)])
def test_no_word_about_a_percentile_of_too_few(count: int, names: int) -> None:
    checks = load_results.promises(answered(count), count, OBJECTIVES)
    assert sum("answered within" in check.name for check in checks) == names
    tested = LoadResult("smoke", "here", 50, Load(), 1, 1, count, sent=answered(count))
    assert [tested.latency(0.95) is None, tested.latency(0.99) is None] == [count < 59, count < 299]


def test_errors_and_dropped_arrivals_are_seen() -> None:
    broken = [replace(one, status=503) if n % 50 == 0 else one for n, one in enumerate(answered())]
    assert missed(broken) == ["share of errors"]
    assert missed(answered(), 401) == ["arrivals that were dropped"]
    assert missed([], 1) == ["share of errors", "arrivals that were dropped"]


KNEE = Step(40, 200, 0, 40, True)


def overloaded() -> list[Sent]:
    """Three times what it can: a third is answered, the others are refused within 10 ms."""
    sent = []
    for n in range(1200):
        due = n / 120
        one = Sent(due, due, due + 0.01, 503, True, None) if n % 3 else Sent(due, due, due + 0.2, 200, False, f"{n}")
        sent.append(one)
    return sent


def overload_missed(sent: list[Sent], knee: Step = KNEE) -> list[str]:
    return [check.name for check in load_results.overload(sent, knee) if not check.kept]


def test_an_overload_that_is_refused_at_once_is_kept() -> None:
    assert overload_missed(overloaded()) == []


def test_each_way_to_fail_in_an_overload_is_seen() -> None:
    slow = [replace(one, ended=one.sent + 0.5) if one.status == 503 else one for one in overloaded()]
    assert overload_missed(slow) == ["99 % of refusals within"]
    silent = [replace(one, named=False) for one in overloaded()]
    assert overload_missed(silent) == ["refusals without Retry-After"]
    broken = [replace(one, status=500 if n % 3 else 200) for n, one in enumerate(overloaded())]
    assert overload_missed(broken) == ["neither answered nor refused"]
    assert overload_missed(overloaded(), replace(KNEE, goodput=80)) == ["answered a second while overloaded"]


@pytest.mark.parametrize(("until", "kept"), [(30, True), (90, False)])
def test_a_service_that_does_not_recover_is_seen(until: float, kept: bool) -> None:
    sent = [replace(one, ended=one.due + 2) if one.due < until else one for one in answered(1200)]
    check = load_results.recovery(sent, 0, OBJECTIVES)
    assert (check.seen, check.kept) == (f"{until} s", kept)


def resources(leak: float, seed: int = 1, noise: float = 0.05) -> dict[str, list[tuple[float, float]]]:
    """An hour of figures: memory that varies by a share of itself, and grows by so much of itself in a day."""
    draw = random.Random(seed)
    points = [(n * 30.0, 1e8 * (1 + draw.uniform(-noise, noise) + leak * n * 30 / 86400)) for n in range(120)]
    return {"memory, in megabytes": points, "seconds of the processor": [(t, t) for t, _ in points]}


def test_a_leak_is_seen_and_noise_is_none() -> None:
    [leaks] = load_results.growth(resources(3.0))
    assert not leaks.kept
    # 1 % more within the hour, as a cache that fills.
    assert all(check.kept for check in load_results.growth(resources(0.24, noise=0.001)))
    assert not all(check.kept for check in load_results.growth(resources(0.8, noise=0.001)))
    for seed in range(20):
        assert all(check.kept for check in load_results.growth(resources(0.0, seed)))


def test_the_figures_come_from_the_metrics_of_the_service(make_app: AppMaker) -> None:
    found = load_results.figures(make_app("right").get("/metrics", "olga").text)
    assert set(found) == set(load_results.FIGURES.values())
    assert found["memory, in megabytes"] > 1


def test_what_was_acknowledged_and_is_gone_is_counted(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    ids = [app.post(f"number {n}").json()["id"] for n in range(5)]
    sent = [Sent(0, 0, 0.1, 200, False, id) for id in ids] + [Sent(0, 0, 0.1, 503, True, None)]
    target = load.Target("http://127.0.0.1:9", "", [], 10, SimpleNamespace(engine=app.service.engine))  # type: ignore[arg-type]
    assert target.lost(sent) == 0
    with writing(app.service.engine) as connection:
        connection.execute(delete(answers).where(answers.c.item_id == ids[2]))
        connection.execute(delete(items).where(items.c.id == ids[2]))
    assert target.lost(sent) == 1


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    edit(tmp_path, "judged_items: 300", "judged_items: 300\nvolume_production: 800")
    shutil.copytree(TEMPLATE / "loadtest", tmp_path / "loadtest")
    shutil.copytree(TEMPLATE / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contract, "load_team", lambda: TEAM)
    return tmp_path


TEAM = Team(item=Item, prediction=Prediction, model=Local, rules=Rules)


def pilot(*words: str) -> Result:
    return CliRunner().invoke(command, ["loadtest", *words])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("hasty",), "There is no profile 'hasty'"),
        (("smoke", "--url", "http://127.0.0.1:9"), "LOADTEST_KEY is not set. Make a key on the service: pilot keys"),
    ],
)
def test_what_cannot_run_says_why(words: tuple[str, ...], says: str, root: Path) -> None:
    done = pilot(*words)
    assert done.exit_code == 2
    assert says in done.stderr.replace("\n", " ")
    assert evidence.read(root).entries == []


def test_without_a_volume_or_locust_it_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "needs locust" in pilot("smoke").stderr
    edit(root, "volume_production: 800\n", "")
    assert "`volume_production`" in pilot("smoke").stderr.replace("\n", " ")


def test_profiles_that_are_none_are_an_error(root: Path) -> None:
    (root / load.PROFILES).write_text("[smoke\n")
    with pytest.raises(PilotError, match="cannot be read"):
        load.profiles(root)


def test_the_page_says_first_what_was_missed_and_the_evidence_has_its_hash(root: Path) -> None:
    tested = LoadResult("peak", "a scratch copy", 800, Load(), 0.44, 40, 400, sent=answered(seconds=0.4))
    tested.checks = load_results.promises(tested.sent, 400, OBJECTIVES)
    file = root / "page.html"
    load_results.write_report(file, tested, OBJECTIVES, TODAY)
    page = file.read_text(encoding="utf-8")
    assert '<span class="bad">Missed.</span> 95% are answered within 400 ms, promised 250 ms.' in page
    assert "800 items a day x 0.2 in the busiest hour" in page
    assert "<svg" in page
    load_results.record(root, tested, file, TODAY, "grace")
    [entry] = evidence.read(root).entries
    assert entry.facts["missed"] == ["95% are answered within"]
    assert (entry.facts["kept"], entry.facts["p95_ms"], entry.facts["daily"]) == (False, 400.0, 800)
    assert entry.facts["sha256"] == evidence.digest(page)
