"""The application: routes, pages and health around one service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import Team
from pilot.records import controls
from pilot.serving import openapi, pages, problems
from pilot.serving.access import Roles
from pilot.serving.predicting import NoModel
from pilot.serving.routes import Shortcut, api, hot_route
from pilot.serving.service import Service
from pilot.serving.telemetry import Telemetry
from pilot.settings import Settings


def create_app(team: Team, settings: Settings) -> FastAPI:
    """The ASGI application. The database must be migrated before it starts."""
    service = Service(team, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="Pilot",
        version=version("ai-pilot-wrapper"),
        description="Answers items with an AI, records each answer, and records what people decided.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # FastAPI's own tracing looks for a configuration on each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    predictions = api(team)
    app.add_middleware(Shortcut, route=hot_route(predictions))
    app.add_middleware(problems.Caught)
    app.add_middleware(Telemetry, metrics=service.metrics)
    problems.install(app)
    app.include_router(predictions)
    app.include_router(pages.router(team))
    if team.routes is not None:
        app.include_router(team.routes)
    _health(app, service)
    openapi.document(app, team)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(Roles("caller", "reviewer", "operator"))])
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    return app


def _health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, str]:
        """Liveness: the event loop turns. Says nothing of the database."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], responses={503: {"description": "The database does not answer."}})
    async def ready() -> JSONResponse:
        """Readiness: records can be written now. Without a model the service is ready, for people to decide."""
        try:
            await asyncio.wait_for(service.committer.call(controls.probe), 5)
        except (SQLAlchemyError, TimeoutError):
            return JSONResponse({"status": "unavailable", "reason": "database"}, 503, {"retry-after": "5"})
        model = "unavailable" if isinstance(service.model, NoModel) else "loaded"
        return JSONResponse({"status": "ready", "model": model})

    @app.get("/metrics", tags=["operation"], openapi_extra=openapi.SECURED, dependencies=[Depends(Roles("operator"))])
    async def metrics() -> Response:
        """Figures for Prometheus, without ids or contents."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
