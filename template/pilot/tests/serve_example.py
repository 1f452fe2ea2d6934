"""The server with the example team, in processes of its own: settings are PILOT_*, the test's wishes PILOT_TEST_*.

Each line of the standard input is a wish: to start a server, which is a fork of this process that has everything
imported, or to wait for one. Imports take seconds on a busy machine, and the tests start many servers.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from example_team import Prediction, make_team
from fastapi import APIRouter, Request

from pilot.contract import PilotError
from pilot.records import writer
from pilot.serving import app, leases
from pilot.settings import load_settings

router = APIRouter()


@router.post("/team/log")
async def talkative(request: Request) -> None:
    """Tells every kind of logger what came in, as careless code would."""
    said = (await request.body()).decode()
    for name in ("team", "pilot.x", "httpx", "sqlalchemy.engine.Engine", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.info(said)
        logger.getChild("child").error(f"read {said}")
        logger.error("read %s", said)
        logger.error("read %d", said)
        logger.error("odd", extra={"text": said, "reason": {"said": said}})
    structlog.get_logger("team").info("team_event", text=said, said=[said])
    structlog.get_logger("team").info(f"read {said}", reason={"said": said}, items=[{"said": said}])
    structlog.get_logger("team").warning("read %s", said)
    structlog.get_logger("team").info("big", count=2**80)
    warnings.warn(f"read {said}", stacklevel=1)
    print(said)
    print(said, file=sys.stderr)
    try:
        raise ValueError(said)
    except ValueError as error:
        logging.getLogger("team").exception("failed")
        structlog.get_logger("team").exception("failed")
        structlog.get_logger("team").error("failed", exc_info=error)

    def crash() -> None:
        raise ValueError(said)

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()


@router.post("/team/crash")
async def crash(request: Request) -> None:
    """Fails as no code should."""
    raise ValueError((await request.body()).decode())


def bought(settings: Any) -> Any:
    """A model behind the API that the settings name."""
    from pilot.models.llm import LlmModel

    among = ("refund", "by-rule")
    return LlmModel(
        settings, prediction=Prediction, labels=among, instructions="Sort it.", render=lambda item: str(item.text)
    )


def serve() -> None:
    wishes = os.environ
    if "PILOT_TEST_LEASE" in wishes:
        writer.LEASE = timedelta(seconds=float(wishes["PILOT_TEST_LEASE"]))
        leases.RENEW = writer.LEASE.total_seconds() / 3
    team = make_team(
        wishes.get("PILOT_TEST_MODEL", "right"),
        Path(wishes.get("PILOT_TEST_CALLS", "calls")),
        seconds=float(wishes.get("PILOT_TEST_SECONDS", "0")),
    )
    if wishes.get("PILOT_TEST_MODEL") == "llm":
        team = replace(team, model=bought)
    try:
        app.run(load_settings(), replace(team, routes=router))
    except PilotError as error:
        sys.exit(f"pilot: {error}")


def start(environment: dict[str, str], log: str, folder: str) -> int:
    child = os.fork()
    if child:
        return child
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (handle, 1), (handle, 2)):
        os.dup2(source, target)
    # After a fork the objects of the parent still hold its buffers.
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    serve()
    sys.exit(0)


def main() -> None:
    for line in sys.stdin:
        wish = json.loads(line)
        if "wait" in wish:
            _, status = os.waitpid(wish["wait"], os.WNOHANG if wish.get("look") else 0)
            done = _ != 0
            print(json.dumps(os.waitstatus_to_exitcode(status) if done else None), flush=True)
        else:
            print(start(**wish), flush=True)


main()
