"""The server: one process, started with checked settings and stopped without losing what it acknowledged."""

from __future__ import annotations

import socket
from contextlib import suppress

import structlog
import uvicorn

from pilot.contract import PilotError, Team, load_team
from pilot.records.database import migrate, open_database, shown_name
from pilot.serving import logging
from pilot.serving.app import create_app
from pilot.settings import Settings

log = structlog.get_logger("pilot.server")


def run(settings: Settings, team: Team | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight.

    Raises PilotError when the settings, the database or the team's code do not allow a start.
    """
    logging.configure(settings.log_level)
    with logging.catching_prints():
        _run(settings, team or load_team())


def _run(settings: Settings, team: Team) -> None:
    engine = open_database(settings)
    migrate(engine)
    app = create_app(team, settings)
    service = app.state.service
    service.unlock()
    listener = _listen(settings)
    log.info("model_in_force", version=service.model.version, reason=getattr(service.model, "why", None))
    log.info("listening", address=settings.host, port=listener.getsockname()[1], database=shown_name(engine))
    engine.dispose()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            loop="uvloop",
            http="httptools",
            ws="none",
            timeout_graceful_shutdown=20,
            timeout_keep_alive=15,
        )
    )
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise PilotError("The service did not start; its log says why. Mend that and start again.")


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port), family=_family(settings.host), backlog=2048)
    except OSError as error:
        raise PilotError(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
            "Stop what listens there, or set PILOT_HOST and PILOT_PORT, or --host and --port."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
