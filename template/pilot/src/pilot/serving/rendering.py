"""Pages as HTML: the templates, the headers of every page, and errors that are pages too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from pilot.serving import forms, sessions
from pilot.serving.access import service_of
from pilot.serving.problems import counted
from pilot.serving.routes import ITEM_ID
from pilot.serving.sessions import SignedOut

log = structlog.get_logger("pilot.pages")
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not `no-referrer`: with that, browsers hide the sender of a form from us too.
    "referrer-policy": "same-origin",
}
REASONS = {
    "off": "The AI is switched off.",
    "closed": "The pilot is closed.",
    "low_confidence": "The AI was not sure enough, so its answer is not used.",
    "abstained": "The AI gave no answer to this item.",
    "busy": "The AI was busy.",
    "credential_rejected": "The AI's provider refused the service's key. Tell the operator.",
    "error": "The AI failed on this item.",
    "interrupted": "The service stopped while the AI was working on this item.",
    "invalid_output": "The AI's answer was not usable.",
    "provider_error": "The AI's provider failed.",
    "rate_limited": "The AI's provider took no more requests.",
    "timeout": "The AI did not answer in time.",
    "unavailable": "No AI model is in service.",
}


def percent(confidence: float) -> str:
    """Whole percent. Only what is certain is shown as 100."""
    return f"{min(round(confidence * 100), 100 if confidence == 1 else 99)} %"


def band(confidence: float) -> str:
    """The confidence in one word."""
    return "high" if confidence >= 0.9 else "medium" if confidence >= 0.7 else "low"


templates = Environment(
    loader=PackageLoader("pilot.serving"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {"percent": percent, "band": band, "text": forms.text}
templates.globals |= {"reasons": REASONS, "flags": forms.FLAGS}


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page. `session` is none while nobody is signed in."""
    values = {"session": None, "pilot": service_of(request).name, "request_id": request.scope["request_id"], **values}
    return HTMLResponse(templates.get_template(template).render(values), status)


def login(request: Request, status: int = 200, error: str | None = None) -> Response:
    """The page to sign in, which leads back to the item that was asked for."""
    onward = request.url.path if leads_to_item(request.url.path) else ""
    response = render(request, "login.html", status, error=error, onward=onward, typed=typed(request))
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def leads_to_item(path: str) -> bool:
    """Whether a path is the review of an item: the one place to go on to after signing in."""
    return path.startswith("/review/") and ITEM_ID.fullmatch(path.removeprefix("/review/")) is not None


def typed(request: Request) -> dict[str, str]:
    """What a person entered into a form and would not like to lose: the decision and the comment."""
    form = getattr(request.state, "form", {})
    kept = {name: value for name, value in form.items() if name.startswith("final-") or name in ("action", "comment")}
    return {name.removeprefix("final-").replace("_", " ").capitalize(): value for name, value in kept.items() if value}


class Page(APIRoute):
    """A route of a page: its forms come from the page itself, its errors are pages, its responses carry `HEADERS`.

    A form is read before anything else, so that an error can give back what was typed; it is in `request.state.form`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler around the route's own."""
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                if request.method == "POST":
                    sessions.check_origin(request)
                    request.state.form = await sessions.read_form(request)
                response = await handle(request)
            except SignedOut:
                lost = "Your session has ended, so nothing was saved." if typed(request) else None
                response = login(request, 401, lost)
            except Exception as error:
                problem = counted(request, error)
                if problem.status == 500:
                    log.error("page_failed", exc_info=error)
                response = render(request, "problem.html", problem.status, problem=problem, typed=typed(request))
                response.headers.update(problem.headers)
            response.headers.update(HEADERS)
            return response

        return page
