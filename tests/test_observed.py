"""Compose with the profile `observe`: when the model begins to answer wrongly under HTTP 200, somebody is called."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import run
from pilot.operations.prometheus import Prometheus
from stack import BASE_IMAGE, Stack, free_port, wait_for
from test_runbook import follow

pytestmark = pytest.mark.docker

RECEIVER = """
import http.server

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("", 8080), Hook).serve_forever()
"""
BAD_MODEL = """
from types import SimpleNamespace
from pilot.operations.drill import bad_model
from pilot.records.database import open_database
from pilot.settings import load_settings

settings = load_settings()
bad_model(SimpleNamespace(settings=settings, engine=open_database(settings)))
"""
# The image holds the documents of the day on which it was built.
OVERRIDE = """
services:
  pilot:
    volumes: ["./phases:/app/phases:ro"]
"""


def firing(prometheus: Prometheus) -> set[str]:
    found = prometheus.ask("query", query='ALERTS{alertstate="firing"}')["result"]
    return {one["metric"]["alertname"] for one in found}


@pytest.fixture
def observed(stack: Stack, tmp_path: Path) -> Iterator[tuple[Stack, Prometheus, str]]:
    """The stack with Prometheus, Alertmanager and, in their network, whoever is called."""
    port, project = free_port(), next(one for one in stack.environment if one.startswith("COMPOSE_PROJECT_NAME="))
    name = project.partition("=")[2]
    hook = f"{name}-hook"
    environment = (
        *stack.environment,
        f"PROMETHEUS_PORT={port}",
        f"ALERT_WEBHOOK=http://{hook}:8080/page",
        f"ALERT_WATCHDOG=http://{hook}:8080/watchdog",
        "ALERT_GROUP_WAIT=1s",
        "ALERT_GROUP_INTERVAL=5s",
        "PILOT_KNOWN_INTERVAL=2",
        "PROMETHEUS_IMAGE=prom/prometheus:latest",
        "ALERTMANAGER_IMAGE=prom/alertmanager:latest",
    )
    seen = Stack(stack.url, stack.folder, stack.command, environment)
    override = stack.folder / "compose.override.yaml"
    override.write_text(OVERRIDE, encoding="utf-8")
    run("chmod", "-R", "a+rX", "ops", "phases", cwd=stack.folder)
    try:
        up = ("--profile", "observe", "up", "--wait", "--wait-timeout", "120")
        seen.compose(*up, "pilot", "prometheus", "alertmanager")
        run(
            *("docker", "run", "--detach", "--rm", "--name", hook, "--network", f"{name}_observe"),
            *(BASE_IMAGE, "python", "-c", RECEIVER),
            cwd=stack.folder,
        )
        yield seen, Prometheus(f"http://127.0.0.1:{port}"), hook
    finally:
        run("sh", "-c", f"docker rm --force {hook} || true", cwd=stack.folder)
        seen.compose("--profile", "observe", "rm", "--force", "--stop", "prometheus", "alertmanager")
        override.unlink()
        stack.compose("up", "--wait", "--wait-timeout", "120", "pilot")


def test_a_model_that_answers_wrongly_calls_somebody_once_gate_3_has_passed(
    observed: tuple[Stack, Prometheus, str],
) -> None:
    stack, prometheus, hook = observed

    def called() -> list[dict[str, Any]]:
        """Who was called for what, the watchdog aside."""
        lines = run("docker", "logs", hook, cwd=stack.folder).splitlines()
        told = [alert for line in lines if line for alert in json.loads(line)["alerts"]]
        return [alert for alert in told if alert["labels"]["severity"] != "watchdog"]

    wait_for(lambda: {"BurnIn", "Watchdog"} <= firing(prometheus), 120)
    stack.compose("exec", "pilot", "python", "-c", BAD_MODEL)
    begun = time.monotonic()
    wait_for(lambda: "KnownItemsWrong" in firing(prometheus), 300)
    time.sleep(20)
    assert called() == [], "before gate 3 it is counted and calls nobody"
    wait_for(lambda: "watchdog" in run("docker", "logs", hook, cwd=stack.folder), 60)

    evidence = stack.folder / "phases" / "evidence" / "0001-gate-3.json"
    evidence.parent.mkdir(exist_ok=True)
    try:
        evidence.write_text("{}", encoding="utf-8")
        evidence.chmod(0o644)
        stack.compose("restart", "pilot")
        wait_for(lambda: any(one["labels"]["alertname"] == "KnownItemsWrong" for one in called()), 300)
        assert time.monotonic() - begun < 600
        page = next(one for one in called() if one["labels"]["alertname"] == "KnownItemsWrong")
        assert page["labels"]["severity"] == "page"
        assert page["annotations"]["runbook_url"] == "runbook/garbage.md"
        print(json.dumps(page, indent=1))

        key = stack.key()
        for number in range(8):
            stack.call("/v1/predictions", key, {"item": {"text": f"Where is parcel {number}?"}})
            time.sleep(5)
        board = json.loads((stack.folder / "ops/grafana/dashboards/pilot.json").read_text(encoding="utf-8"))
        queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]

        def silent() -> list[str]:
            return [query for query in queries if not prometheus.ask("query", query=query)["result"]]

        wait_for(lambda: silent() == [], 60)

        follow(stack, "garbage", "Mitigate")
        assert "rolled back" in follow(stack, "garbage", "Verify")
        right = 'sum(increase(pilot_known_items_total{result="right"}[1m])) > 2'
        wait_for(lambda: prometheus.holds(right), 120)
        wrong = 'sum(increase(pilot_known_items_total{result="wrong"}[30s])) > 0'
        wait_for(lambda: not prometheus.holds(wrong), 120)
    finally:
        evidence.unlink(missing_ok=True)
