"""`pilot replay`: the same answers by one process or many, and a replay that was killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest
from conftest import wait_until
from example_papers import sign, write
from example_team import Item, Prediction, make_team
from replay_team import team
from sqlalchemy import Engine, update
from test_backtest import recorded
from test_backtest import write as insert
from test_promotion import drawn, fit
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.cli import app as command
from pilot.contract import Answer, PilotError
from pilot.models import store
from pilot.models.store import ModelStore
from pilot.operations import replay
from pilot.operations.replay import MANIFEST, Replay, Replayed, Source
from pilot.records.crypto import Vault
from pilot.records.database import migrate, now, open_database, writing
from pilot.records.outcomes import Outcome, judge
from pilot.records.tables import items
from pilot.settings import load_settings

HERE = Path(__file__).parent
TEXTS = drawn(2600, 5)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    sign(tmp_path)
    monkeypatch.chdir(tmp_path)
    rows = drawn(60, 1)
    fit([Item(text=said) for said, _ in rows], [label for _, label in rows], load_settings(root=tmp_path))
    file = tmp_path / "history.csv"
    file.write_text("text,label\n" + "".join(f"{said},{label}\n" for said, label in TEXTS))
    return tmp_path


def version(root: Path) -> str:
    found = ModelStore(load_settings(root=root).models).active()
    assert found is not None
    return found


@pytest.fixture
def engine(root: Path) -> Engine:
    engine = open_database(load_settings(root=root))
    migrate(engine)
    return engine


def replayed(root: Path, source: str, workers: int = 1, out: str = "out") -> Replayed:
    wanted = Replay(team, load_settings(root=root), Source(source), version(root), root / out)
    return wanted.run(workers, lambda _: None)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.jsonl"))}


def test_one_process_and_two_leave_the_same_files(root: Path, engine: Engine) -> None:
    one, two = replayed(root, "history.csv", 1, "one"), replayed(root, "history.csv", 2, "two")
    assert one == two
    assert (one.items, one.refused, one.judged) == (2600, 0, 2600)
    assert 0.5 < one.right / one.judged <= 1
    assert list(files(root / "one")) == [
        "0000000001-0000001000.jsonl",
        "0000001001-0000002000.jsonl",
        "0000002001-0000002600.jsonl",
    ]
    assert files(root / "one") == files(root / "two")
    first = orjson.loads(files(root / "one")["0000000001-0000001000.jsonl"].splitlines()[0])
    assert first.keys() == {"id", "prediction", "confidence", "failure", "trained", "agrees"}


class RayError(Exception):
    """What Ray raises."""


class Ray(ModuleType):
    """As much of Ray as a replay uses, in this process; a real cluster is tried in the template's own tests."""

    def __init__(self, worker_fails: bool = False) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.worker_fails, self.sends_the_folder, self.actors, self.ended = worker_fails, True, 0, False

    def init(self, address: str, **_: object) -> None:
        if address != "ray://here:10001":
            raise ConnectionError("nobody listens")
        self.sends_the_folder = os.environ.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV") != "0"

    def remote(self, kind: Callable[[Replay], Any]) -> Any:
        def make(wanted: Replay) -> Any:
            worker, self.actors = kind(wanted), self.actors + 1

            def ask(chunk: replay.Chunk) -> Any:
                future: Future[Any] = Future()
                if self.worker_fails:
                    future.set_exception(RayError("task failed\nModuleNotFoundError: No module named 'triage'"))
                else:
                    future.set_result(worker.answer(chunk))
                return SimpleNamespace(future=lambda: future)

            return SimpleNamespace(answer=SimpleNamespace(remote=ask))

        return SimpleNamespace(remote=make)

    def shutdown(self) -> None:
        self.ended = True


def on_ray(
    root: Path, monkeypatch: pytest.MonkeyPatch, ray: Ray, address: str = "ray://here:10001", out: str = "ray"
) -> Replayed:
    monkeypatch.delenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", raising=False)
    monkeypatch.setitem(sys.modules, "ray", ray)
    wanted = Replay(team, load_settings(root=root), Source("history.csv"), version(root), root / out)
    return wanted.run(2, lambda _: None, address)


def test_the_processes_of_a_cluster_leave_the_files_of_one_here_and_get_nothing_of_the_folder(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray, one = Ray(), replayed(root, "history.csv", 1, "one")
    assert on_ray(root, monkeypatch, ray) == one
    assert files(root / "ray") == files(root / "one")
    assert (ray.sends_the_folder, ray.actors, ray.ended) == (False, 2, True)


def test_a_cluster_that_is_away_or_fails_is_a_message(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PilotError, match=r"ray://gone:1 is not reached: nobody listens. Start it, or correct --on"):
        on_ray(root, monkeypatch, Ray(), "ray://gone:1")
    ray = Ray(worker_fails=True)
    with pytest.raises(PilotError, match=r"failed on the cluster: ModuleNotFoundError: No module named 'triage'"):
        on_ray(root, monkeypatch, ray)
    assert ray.ended
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PilotError, match=r'uv run --with "ray\[client\]" pilot replay'):
        Replay(team, load_settings(root=root), Source("history.csv"), version(root), root / "x").run(
            1, lambda _: None, "ray://here:10001"
        )


def test_the_answers_are_those_of_the_model(root: Path, engine: Engine) -> None:
    replayed(root, "history.csv")
    lines = [orjson.loads(line) for text in files(root / "out").values() for line in text.splitlines()]
    model = team().model(load_settings(root=root))
    expected = model.predict([Item(text=said) for said, _ in TEXTS[:50]])  # type: ignore[union-attr]
    assert [line["prediction"] for line in lines[:50]] == [one.prediction.model_dump() for one in expected]  # type: ignore[union-attr]


def test_what_the_version_had_learned_from_is_no_proof_of_it(root: Path, engine: Engine) -> None:
    learned = "".join(f"{said},{label}\n" for said, label in drawn(60, 1))
    (root / "both.csv").write_text("text,label\n" + learned + "".join(f"{s},{la}\n" for s, la in TEXTS[:40]))
    found = replayed(root, "both.csv")
    assert (found.items, found.trained, found.judged) == (100, 60, 40)


def test_live_items_are_replayed_with_what_was_decided_and_without_what_was_erased(root: Path, engine: Engine) -> None:
    changes = [recorded(now(), said, Answer(Prediction(label="other"), 0.9)) for said, _ in TEXTS[:1500]]
    insert(engine, changes)
    with writing(engine) as connection:
        for change, (_, label) in zip(changes[:20], TEXTS, strict=False):
            judge(connection, Vault(()), Prediction, change.record.id, Outcome(Prediction(label=label), "rita"))
        connection.execute(update(items).where(items.c.seq == 5).values(erased_at=now(), content=b""))
    found = replayed(root, "live", 2)
    assert (found.items, found.refused, found.judged) == (1499, 1, 19)


def test_the_judged_items_alone_are_answered_as_the_model_answers_them(root: Path, engine: Engine) -> None:
    changes = [recorded(now(), said, Answer(Prediction(label="other"), 0.9)) for said, _ in TEXTS[:50]]
    insert(engine, changes)
    with writing(engine) as connection:
        for change, (_, label) in zip(changes[10:40], TEXTS[10:40], strict=True):
            judge(connection, Vault(()), Prediction, change.record.id, Outcome(Prediction(label=label), "rita"))
    settings, items = load_settings(root=root), [change.record.item for change in changes[10:40]]
    wanted = [Replay(team, settings, Source(replay.JUDGED), version(root), root / out) for out in ("one", "two")]
    assert [one.run(workers, lambda _: None).judged for one, workers in zip(wanted, (1, 2), strict=True)] == [30, 30]
    first, second = (one.answers(Prediction) for one in wanted)
    known = store.replayed(team(), settings, version(root), items)
    assert first == second
    assert list(first) == [change.record.id for change in changes[10:40]]
    assert [one.prediction for one in first.values()] == [one.prediction for one in known]
    assert [one.trained for one in first.values()] == [one.trained for one in known]


def test_what_comes_later_is_no_part_of_a_replay_that_has_begun(root: Path, engine: Engine) -> None:
    insert(engine, [recorded(now(), said, Answer(Prediction(label="other"), 0.9)) for said, _ in TEXTS[:30]])
    assert replayed(root, "live").items == 30
    insert(engine, [recorded(now(), said, Answer(Prediction(label="other"), 0.9)) for said, _ in TEXTS[:9]])
    assert replayed(root, "live").items == 30
    assert replayed(root, "live", out="anew").items == 39


def test_what_is_answered_is_not_answered_again(root: Path, engine: Engine) -> None:
    replayed(root, "history.csv")
    before = files(root / "out")
    second = root / "out" / "0000001001-0000002000.jsonl"
    second.unlink()
    kept = (root / "out" / "0000000001-0000001000.jsonl").stat().st_mtime_ns
    replayed(root, "history.csv")
    assert files(root / "out") == before
    assert (root / "out" / "0000000001-0000001000.jsonl").stat().st_mtime_ns == kept


def test_a_replay_that_was_killed_goes_on(root: Path, engine: Engine) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\n"
        "from pilot.operations.replay import Replay, Source\n"
        "from pilot.settings import load_settings\n"
        "from replay_team import team\n"
        "if __name__ == '__main__':\n"
        f"    settings, source = load_settings(root={str(root)!r}), Source('history.csv')\n"
        f"    Replay(team, settings, source, {version(root)!r}, Path('out')).run(1, lambda _: None)\n"
    )
    (root / "run.py").write_text(program)
    running = subprocess.Popen([sys.executable, "run.py"], cwd=root, start_new_session=True)
    wait_until(lambda: (root / "out").exists() and files(root / "out"), 120)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(30)
    left = files(root / "out")
    found = replayed(root, "history.csv", 2)
    assert found.items == 2600
    assert left.items() <= files(root / "out").items()
    replayed(root, "history.csv", out="whole")
    assert files(root / "out") == files(root / "whole")


def test_a_damaged_row_and_one_without_a_text_are_counted_and_answer_nothing(root: Path, engine: Engine) -> None:
    (root / "bad.csv").write_text('text,label\nhello,access\n"broken\n')
    (root / "bad.jsonl").write_text('{"text": "hello"}\n{"other": 1}\nnot json\n')
    assert replayed(root, "bad.jsonl", out="lines").refused == 2
    assert replayed(root, "bad.csv", out="rows").items == 1


@pytest.mark.parametrize("changed", ["another source", "another content", "as many bytes", "another version"])
def test_a_folder_of_another_replay_is_refused(changed: str, root: Path, engine: Engine) -> None:
    replayed(root, "history.csv")
    source = "history.csv"
    if changed == "another source":
        source = "other.csv"
        (root / "other.csv").write_text("text,label\nhello,access\n")
    elif changed == "another content":
        (root / "history.csv").write_text("text,label\nhello,access\n")
    elif changed == "as many bytes":
        *others, last = (root / "history.csv").read_text().splitlines(keepends=True)
        (root / "history.csv").write_text("".join([*others, last.upper()]))
    else:
        noted = orjson.loads((root / "out" / MANIFEST).read_bytes())
        (root / "out" / MANIFEST).write_bytes(orjson.dumps({**noted, "version": "0" * 16}))
    with pytest.raises(PilotError, match="holds another replay"):
        replayed(root, source)


def pilot(*words: str) -> Result:
    return CliRunner().invoke(command, ["replay", *words])


def test_the_command_says_how_often_it_agrees(root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "load_team", team)
    said = pilot("history.csv", "--model", version(root), "--workers", "2")
    assert said.exit_code == 0, said.exception
    assert "2600 items, 0 of them failed; 0 rows were none" in said.stdout
    assert "of 2600 final decisions" in said.stdout
    assert files(root / "var/replay" / f"{version(root)}-history")


def test_what_cannot_be_replayed_is_a_message(root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "load_team", team)
    for words, message in (
        (("nowhere.csv", "--model", version(root)), "There is no file nowhere.csv"),
        (("history.csv", "--model", "0" * 16), "holds version 0000"),
        (("history.csv", "--model", version(root), "--input", "body"), "has no column 'body'"),
    ):
        assert message in str(pilot(*words).exception)
    monkeypatch.setattr(contract, "load_team", lambda: make_team("remote", root / "calls"))
    assert "A model behind an API is not replayed" in str(
        pilot("history.csv", "--model", version(root), "--out", "api").exception
    )


def test_a_process_that_ends_is_a_message_and_what_was_answered_stays(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Ended:
            return self

        def __exit__(self, *_: object) -> None: ...
        def submit(self, *_: object) -> object:
            raise replay.BrokenProcessPool

    monkeypatch.setattr(replay, "ProcessPoolExecutor", Ended)
    with pytest.raises(PilotError, match="A process of the replay ended"):
        replayed(root, "history.csv", workers=2)
