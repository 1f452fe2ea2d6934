"""Logs: one JSON object a line from every source, and never what came in."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest
from conftest import Server, ServerMaker
from cryptography.fernet import Fernet

CANARIES = ("Jane Canary", "jane.canary@example.com", "DE89370400440532013000", "\x1b[31mred", "\u2028forged")
SAID = " / ".join(CANARIES) + '\r\n{"forged": true}'


def _busy_server(make_server: ServerMaker, **environment: str) -> Server:
    """A server that met content in every way it can, then was stopped."""
    server = make_server("dead", "assist", PILOT_DATA_KEY=Fernet.generate_key().decode(), **environment)
    server.start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        head = server.headers("shop")
        for path in ("/team/log", "/team/crash"):
            client.post(path, content=SAID.encode(), headers={**head, "x-request-id": f"id{path.replace('/', '-')}"})
        client.post("/v1/predictions", json={"item": {"text": SAID}, "group": "Jane Canary"}, headers=head)
        client.post("/v1/predictions", json={"item": {"text": SAID, SAID[:20]: 1}}, headers=head)
        client.post("/v1/predictions", content=SAID.encode(), headers={**head, "content-type": "application/json"})
        client.get(f"/v1/predictions/{CANARIES[1]}?limit={CANARIES[1]}", headers=head)
        client.get("/" + CANARIES[1])
        client.get("/v1/predictions", headers={"authorization": f"Bearer {CANARIES[1]}", "x-request-id": CANARIES[1]})
        client.request(CANARIES[2], "/healthz")
        server_metrics = client.get("/metrics", headers=server.headers("olga")).text
    for canary in CANARIES:
        assert canary not in server_metrics
    assert server.stop() in (0, -15)
    return server


@pytest.fixture
def busy(make_server: ServerMaker) -> Server:
    return _busy_server(make_server)


def test_each_line_of_a_process_is_one_json_object_with_time_level_and_event(busy: Server) -> None:
    lines = busy.lines()
    assert {"server_ready", "listening", "request", "library", "crash", "request_failed", "server_stopping"} <= {
        line["event"] for line in lines
    }
    for line in lines:
        assert datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
        assert line["level"] in {"debug", "info", "warning", "error", "critical"}
        assert line["logger"]


def test_no_line_holds_content_keys_or_secrets(busy: Server) -> None:
    text = busy.log.read_text()
    secrets = [*busy.keys.values(), busy.environment["PILOT_DATA_KEY"]]
    for canary in (*CANARIES, "Canary", "canary", "forged", *secrets):
        assert canary not in text


def test_the_lines_of_a_request_carry_its_id(busy: Server) -> None:
    lines = busy.lines()
    events = {line["event"] for line in lines if line.get("request_id") == "id-team-log"}
    assert {"library", "log", "team_event", "request"} <= events
    crash = [line for line in lines if line.get("request_id") == "id-team-crash"]
    assert {"request_failed", "request"} <= {line["event"] for line in crash}
    failed = next(line for line in crash if line["event"] == "request_failed")
    assert failed["error"] == "ValueError"
    assert any("serve_example.py" in frame for frame in failed["frames"])
    assert all(line.get("request_id") for line in lines if line["event"] == "request")


def test_a_failure_of_the_model_leaves_a_line_with_the_requests_id(busy: Server) -> None:
    assert [
        line
        for line in busy.lines()
        if line["event"] == "item_failed" and line["request_id"] and line["reason"] == "error"
    ]


_WITHOUT_FILTER = """
import sys
from pilot.serving import logging as own
own.FIELDS = own.FIELDS | {"text"}
own.configure("info")
import structlog
structlog.get_logger("team").info("team_event", text="Jane Canary")
"""


def _output(code: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False, env=_environment()
    )
    return done.stdout + done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PILOT_")}


def test_without_the_list_of_fields_the_canary_shows() -> None:
    """So the canaries above are looked for where they would stand."""
    assert b"Jane Canary" in _output(_WITHOUT_FILTER)
    assert b"Jane Canary" not in _output(_WITHOUT_FILTER.replace('| {"text"}', ""))


@pytest.mark.parametrize(
    "statement",
    [
        "raise ValueError(said)",
        "import threading; t = threading.Thread(target=lambda: 1 / len(said[:0])); t.start(); t.join()",
        "import logging; logging.getLogger('a.b').info('%d', said)",
        "import logging; logging.getLogger('a.b').info('%s %s', said)",
        "import structlog; structlog.get_logger().info('event', count=2**90, text=said)",
        "import structlog; structlog.get_logger().info('event', reason='\\ud800' + said)",
        "import structlog; structlog.get_logger().info(said, said)",
        "import structlog; structlog.get_logger().info('event %s', said)",
        "import structlog; structlog.get_logger().exception('event', exc_info=ValueError(said))",
        "import warnings; warnings.warn(said)",
        "print(said)",
        "import sys; print(said, end='', file=sys.stderr)",
        "class A:\n    def __del__(self): raise ValueError(said)\nA()",
        "import asyncio\nasync def f():\n    async def g(): raise ValueError(said)\n    asyncio.create_task(g()); "
        "await asyncio.sleep(0)\nasyncio.run(f())",
    ],
)
def test_each_way_to_speak_gives_one_json_line_without_words(statement: str) -> None:
    code = "from pilot.serving.logging import catching_prints, configure\nconfigure('debug')\nsaid = 'Jane Canary'\n"
    code += f"catching = catching_prints()\ncatching.__enter__()\n{statement}\n"
    lines = _output(code).splitlines()
    assert lines, "something was said"
    for line in lines:
        found: dict[str, Any] = orjson.loads(line)
        assert found["event"]
        assert "Canary" not in str(found)


def test_the_level_that_is_set_holds_for_every_logger() -> None:
    code = (
        "from pilot.serving.logging import configure\nconfigure('warning')\nimport logging, structlog\n"
        "structlog.get_logger('pilot.x').info('quiet')\nlogging.getLogger('pilot.x').info('quiet')\n"
        "structlog.get_logger('pilot.x').warning('loud')\n"
    )
    assert [orjson.loads(line)["event"] for line in _output(code).splitlines()] == ["loud"]


_SPEAKS = """
import logging, sys
from pilot.serving import logging as own
own.configure("info")
import structlog
structlog.get_logger("team").info("team_event")
logging.getLogger("team").error("library")
sys.stderr.write("went on")
sys.stdout = None
"""


def test_a_line_that_cannot_be_written_is_lost_and_its_caller_goes_on() -> None:
    """Else each request would end in an error once the log's disk is full or its reader is gone."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _SPEAKS], stdout=full, stderr=subprocess.PIPE, timeout=60, env=_environment()
        )
    assert done.stderr == b"went on"


def test_long_strings_are_cut() -> None:
    from pilot.serving.logging import line

    assert len(orjson.loads(line({"event": "x", "reason": "a" * 10**6}))["reason"]) == 200
    assert logging.getLogger("pilot").handlers == []


_FLOODS = """
import sys
from pilot.serving import logging
logging._writable = {writable}
import structlog
logging.configure("info")
for number in range(30_000):
    structlog.get_logger("pilot.access").info("request", count=number)
print(logging.lost(), file=sys.stderr)
"""


@pytest.mark.parametrize(("writable", "ends"), [("logging._writable", True), ("lambda _: lambda: True", False)])
def test_a_pipe_that_nobody_reads_holds_nobody_up(writable: str, ends: bool) -> None:
    """30,000 lines are far more than a pipe and the waiting lines hold."""
    code = _FLOODS.format(writable=writable)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
    )
    try:
        if not ends:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(8)
            return
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stdout is not None
        assert 10_000 < int(process.stderr.read()) < 30_000
        numbers = [orjson.loads(line)["count"] for line in process.stdout.read().splitlines()]
        assert numbers == list(range(len(numbers))), "what was written is whole and in order"
    finally:
        process.kill()
        process.communicate()
