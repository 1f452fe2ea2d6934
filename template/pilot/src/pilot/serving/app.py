"""The application around one service, and the server: one process that stops without losing what it acknowledged."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest, start_http_server
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import PilotError, Team, load_team
from pilot.records import controls
from pilot.records.database import migrate, open_database, shown_name
from pilot.serving import api, errors, logging, review
from pilot.serving.auth import allowed
from pilot.serving.guide import Guide
from pilot.serving.inference import NoModel
from pilot.serving.metrics import Telemetry
from pilot.serving.protocol import Protocol
from pilot.serving.service import Service
from pilot.settings import Settings

log = structlog.get_logger("pilot.server")
# How long, in seconds, an answer of the database to a probe holds.
PROBED = 1.0


def run(settings: Settings, team: Team | None = None, guide: Guide | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight.

    Raises PilotError when the settings, the database or the team's code do not allow a start.
    """
    logging.configure(settings.log_level)
    with logging.catching_prints():
        _run(settings, team or load_team(), guide)


def _run(settings: Settings, team: Team, guide: Guide | None) -> None:
    engine = open_database(settings)
    migrate(engine)
    app = create_app(team, settings, guide)
    service = app.state.service
    service.unlock()
    listener = _listen(settings)
    if settings.metrics_port:
        _expose(service, settings)
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
            http=Protocol,
            ws="none",
            timeout_graceful_shutdown=20,
            timeout_keep_alive=15,
        )
    )
    # Once it has drained, the server sends itself the signal again; by then that is a good end, not a death.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    with suppress(KeyboardInterrupt, SystemExit):
        server.run(sockets=[listener])
    if not server.started:
        raise PilotError("The service did not start; its log says why. Fix that and start again.")


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port), family=_family(settings.host), backlog=2048)
    except OSError as error:
        raise PilotError(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
            "Stop what listens there, or set PILOT_HOST and PILOT_PORT, or --host and --port."
        ) from error


def _expose(service: Service, settings: Settings) -> None:
    try:
        start_http_server(settings.metrics_port, settings.host, service.metrics.registry)
    except OSError as error:
        raise PilotError(
            f"Cannot listen on {settings.host}:{settings.metrics_port} ({error.strerror}). Stop what listens there, "
            "or set another PILOT_METRICS_PORT."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def create_app(team: Team, settings: Settings, guide: Guide | None = None) -> FastAPI:
    """The ASGI application. The database must be migrated before it starts. Where there is a guide, reviewers read it
    before they decide."""
    service = Service(team, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
        except Exception as error:
            log.critical("start_failed", exc_info=error)  # the server's own line leaves the error out
            raise
        service.watch()
        yield
        await service.stop()

    app = FastAPI(
        title="Pilot",
        version=version("ai-pilot-wrapper"),
        description="Answers items with an AI, records each answer, and records what people decided.",
        lifespan=lifespan,
        # A redirect would take its address from the request's Host.
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # FastAPI's own tracing looks for a configuration on each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service, app.state.guide = service, guide
    predictions = api.router(team)
    app.add_middleware(api.Shortcut, route=api.hot_route(predictions))
    app.add_middleware(api.Head)
    app.add_middleware(errors.Caught)
    app.add_middleware(Telemetry, metrics=service.metrics)
    errors.install(app)
    app.include_router(predictions)
    app.include_router(api.trail())
    app.include_router(api.rollout())
    app.include_router(review.router(team))
    if team.routes is not None:
        app.include_router(team.routes)
    _health(app, service)
    api.document(app, team)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(allowed)])
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    return app


class _Probe:
    """Whether the database takes a record, asked once a second at most: anybody may ask the service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asking = asyncio.Lock()
        self._asked, self._took = -PROBED, False

    async def writable(self) -> bool:
        """The answer of the last second, or a new one."""
        async with self._asking:
            if time.monotonic() - self._asked >= PROBED:
                try:
                    await asyncio.wait_for(self._service.committer.call(controls.probe), 5)
                    self._took = True
                except (SQLAlchemyError, TimeoutError):
                    self._took = False
                self._asked = time.monotonic()
        return self._took


def _health(app: FastAPI, service: Service) -> None:
    probe = _Probe(service)

    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, str]:
        """Liveness: the event loop turns. Says nothing of the database."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], responses={503: {"description": "The database does not answer."}})
    async def ready() -> JSONResponse:
        """Readiness: records can be written now. Without a model the service is ready, for people to decide."""
        if not await probe.writable():
            return JSONResponse({"status": "unavailable", "reason": "database"}, 503, {"retry-after": "5"})
        model = "unavailable" if isinstance(service.model, NoModel) else "loaded"
        return JSONResponse({"status": "ready", "model": model})

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=PlainTextResponse,
        responses=api.problem_responses(401, 403, 429, 503),
        openapi_extra=api.SECURED,
        dependencies=[Depends(allowed)],
    )
    async def metrics() -> Response:
        """Figures for Prometheus, without ids or contents."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
