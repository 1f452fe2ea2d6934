"""The smoke profile: passes on a healthy service, and fails on a slow, a stalled and a refusing one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import UV, Service, serving, wait_for

PATIENCE = 3
SLOW_MODEL = """

import time

from pilot.contract import Answer, Failure


class Slow:
    version = "slow"

    def predict(self, items):
        time.sleep({seconds})
        return [Answer.failed(Failure.ABSTAINED) for _ in items]


def load(settings):
    return Slow()
"""


@pytest.fixture(scope="module", autouse=True)
def patient(pilot_folder: Path) -> Iterator[None]:
    """An objective that a healthy service keeps on a machine with other work to do."""
    file = pilot_folder / "phases/4-harden/slo.toml"
    text = file.read_text(encoding="utf-8")
    assert tomllib.loads(text)["latency_p95_ms"] < 300, "a planted sleep of 300 ms is to miss the rendered objective"
    file.write_text(re.sub(r"latency_p95_ms = .*", f"latency_p95_ms = {PATIENCE * 1000}", text), encoding="utf-8")
    yield
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def healthy(pilot_folder: Path) -> Iterator[tuple[Service, int]]:
    with serving(pilot_folder) as running:
        yield running


def smoke(service: Service, key: str, seconds: float = 3) -> subprocess.Popen[str]:
    """The profile, at twenty requests a second."""
    return subprocess.Popen(
        ["env", *service.environment, "LOADTEST_RATE=20", f"LOADTEST_SECONDS={seconds}", f"LOADTEST_URL={service.url}"]
        + ([f"LOADTEST_KEY={key}"] if key else [])
        + [UV, "run", "python", "loadtest/smoke.py"],
        cwd=service.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def missed(test: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code, and the objectives that were missed."""
    said, errors = test.communicate(timeout=60)
    lines = [line.split(":")[0].split(None, 1) for line in said.splitlines() if line.startswith(("MISSED", "kept"))]
    assert len(lines) == 3, said + errors
    return test.returncode, [name for verdict, name in lines if verdict == "MISSED"]


def test_a_healthy_service_passes(healthy: tuple[Service, int]) -> None:
    service, _ = healthy
    assert missed(smoke(service, service.key())) == (0, [])


def test_a_service_that_refuses_fails(healthy: tuple[Service, int]) -> None:
    assert missed(smoke(healthy[0], "pilot_wrong")) == (1, ["share of errors"])


def test_a_stall_shows_in_the_requests_that_were_due_meanwhile(healthy: tuple[Service, int]) -> None:
    service, process = healthy
    key = service.key()
    before = service.call("/v1/predictions", key)
    test = smoke(service, key, seconds=9)
    wait_for(lambda: service.call("/v1/predictions", key) != before, 30)
    os.kill(process, signal.SIGSTOP)
    time.sleep(2 * PATIENCE)
    os.kill(process, signal.SIGCONT)
    assert missed(test) == (1, ["p95 in ms"])


def test_without_a_key_it_does_not_run_and_says_how_to_make_one(healthy: tuple[Service, int]) -> None:
    test = smoke(healthy[0], "")
    _, errors = test.communicate(timeout=60)
    assert test.returncode == 2
    assert "pilot keys create caller" in errors


def test_a_slow_model_fails(pilot_folder: Path) -> None:
    code = pilot_folder / "src/ticket_triage/model.py"
    text = code.read_text(encoding="utf-8")
    planted = SLOW_MODEL.format(seconds=PATIENCE)
    try:
        code.write_text(text + planted, encoding="utf-8")
        with serving(pilot_folder) as (service, _):
            service.set_mode("assist")
            assert missed(smoke(service, service.key())) == (1, ["p95 in ms"])
            service.pilot("mode", "shadow")
    finally:
        code.write_text(text, encoding="utf-8")
