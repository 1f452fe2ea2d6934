"""The pages for people: signing in, the queue, and the review of an item. Plain forms; no script anywhere."""

from __future__ import annotations

import asyncio
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection, Row

from pilot.contract import Team, labels
from pilot.records import keys, outcomes, queries
from pilot.records.outcomes import Conflict, Outcome, Refused
from pilot.serving import bodies, forms, rendering, sessions
from pilot.serving.access import service_of
from pilot.serving.problems import Problem
from pilot.serving.rendering import Page, render
from pilot.serving.routes import ITEM_ID
from pilot.serving.service import Service
from pilot.serving.sessions import Session, session_of

STATIC = {"pilot.css": "text/css", "pilot.svg": "image/svg+xml"}
LISTED = 50
BLIND = ("blind", "audit")


@dataclass(frozen=True)
class Review:
    """An item as a reviewer may see it. Where the review is blind, `answer` is not even read."""

    item: Row[Any]
    content: dict[str, Any]
    answer: dict[str, Any] | None
    outcome: dict[str, Any] | None
    following: str | None

    @property
    def kind(self) -> str:
        """How the person is asked."""
        return _kind(self.item)

    def decided_by(self, name: str) -> bool:
        """Whether the present outcome is of this person."""
        return self.outcome is not None and self.outcome["made_by"] == name


def _kind(item: Row[Any]) -> str:
    """Blind, assist or manual. An audit is blind and looks no different: its name would tell that the AI was sure."""
    return "blind" if item.review in BLIND else str(item.review)


def router(team: Team) -> APIRouter:
    """The review pages for the team's Item and Prediction."""
    router = APIRouter(route_class=Page, include_in_schema=False)
    body = bodies.outcome_request(team.prediction)
    static = {name: files("pilot.serving").joinpath("static", name).read_bytes() for name in STATIC}

    @router.get("/static/{name}")
    async def static_file(name: str) -> Response:
        if name not in static:
            raise Problem(404, "There is no such file here.")
        return Response(static[name], media_type=STATIC[name], headers={"cache-control": "public, max-age=300"})

    @router.get("/")
    async def root() -> Response:
        return RedirectResponse("/review", 303)

    @router.get("/login")
    async def login_page(request: Request) -> Response:
        return rendering.login(request)

    @router.post("/login")
    async def login(request: Request) -> Response:
        service, form = service_of(request), request.state.form
        key = await service.in_force.key(form.get("key", "").strip())
        if key is None:
            return rendering.login(request, 401, "This key is not in force. Check that you have copied all of it.")
        if key.role != "reviewer":
            return rendering.login(request, 403, f"This is a {key.role}'s key. Signing in here needs a reviewer's.")
        secret = await service.committer.call(lambda connection: keys.open_session(connection, key))
        onward = form.get("onward", "")
        response = RedirectResponse(onward if rendering.leads_to_item(onward) else "/review", 303)
        sessions.set_cookie(request, response, secret)
        return response

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        session = await session_of(request)
        sessions.check_token(session, request.state.form)
        await service_of(request).committer.call(lambda connection: keys.close_session(connection, session.secret))
        response = RedirectResponse("/login", 303)
        response.delete_cookie(sessions.COOKIE)
        return response

    @router.get("/review")
    async def queue(request: Request, saved: str = "") -> Response:
        session, service = await session_of(request), service_of(request)
        length, rows = await asyncio.to_thread(_queue, service)
        mode = service.in_force.mode
        return render(request, "queue.html", session=session, length=length, rows=rows, saved=_id(saved), mode=mode)

    @router.get("/review/{item_id}")
    async def review(request: Request, item_id: str, saved: str = "") -> Response:
        session = await session_of(request)
        found = await asyncio.to_thread(_read, service_of(request), item_id)
        return _form(request, session, found, saved=_id(saved))

    @router.post("/review/{item_id}")
    async def judge(request: Request, item_id: str) -> Response:
        session, service, form = await session_of(request), service_of(request), request.state.form
        sessions.check_token(session, form)
        found = await asyncio.to_thread(_read, service, item_id)
        if found.outcome is not None and not found.decided_by(session.key.name):
            return _form(request, session, found, 409)
        asked = _questions(service)
        entered = forms.entered(form, asked, body, found.kind == "assist")
        if entered.errors:
            return _form(request, session, found, 422, errors=entered.errors)
        outcome = Outcome(
            made_by=session.key.name,
            seconds=session.seconds_since(item_id, form.get("stamp", "")),
            blind=found.kind == "blind",
            **entered.values,
        )

        def change(connection: Connection) -> int:
            return outcomes.judge(connection, service.vault, team.prediction, item_id, outcome)

        try:
            await service.committer.call(change)
        except Refused as error:
            place = "action" if error.field == "action" else asked[0].id
            return _form(request, session, found, 422, errors={place: str(error)})
        except Conflict:
            found = await asyncio.to_thread(_read, service, item_id)
            if not _same(found.outcome, outcome):
                return _form(request, session, found, 409)
        else:
            service.metrics.child(service.metrics.outcomes, outcome.action or "none").inc()
        onward = f"/{found.following}" if found.following else ""
        return RedirectResponse(f"/review{onward}?saved={item_id}", 303)

    return router


def _form(
    request: Request,
    session: Session,
    found: Review,
    status: int = 200,
    *,
    errors: dict[str, str] | None = None,
    saved: str = "",
) -> Response:
    """The page of an item: empty, with the person's present outcome, or with what was just typed."""
    service = service_of(request)
    team, asked = service.team, _questions(service)
    form: dict[str, str] = getattr(request.state, "form", {})
    stamp = form.get("stamp") or session.stamp(found.item.id)
    mine = found.decided_by(session.key.name)
    if found.outcome is not None and mine:
        form = {**(form or forms.as_form(found.outcome, asked)), "version": str(found.outcome["version"])}
    return render(
        request,
        "review.html",
        status,
        session=session,
        review=found,
        fields=forms.shown(team.item, found.content),
        predicted=lambda content: forms.shown(team.prediction, content),
        questions=asked,
        form=form,
        stamp=stamp,
        errors=errors or {},
        mine=mine,
        closed=found.outcome is not None and not mine,
        conflict=status == 409,
        typed=rendering.typed(request),
        saved=saved,
    )


def _questions(service: Service) -> tuple[forms.Question, ...]:
    return forms.questions(service.team.prediction, labels(service.model))


def _queue(service: Service) -> tuple[int, list[tuple[Row[Any], str, str]]]:
    """How many items wait, and the oldest of them with their first words and their kind."""
    with service.engine.connect() as connection:
        rows = queries.queue(connection, LISTED)
        length = queries.queue_length(connection)
    return length, [(row, _first_words(service, row), _kind(row)) for row in rows]


def _first_words(service: Service, row: Row[Any]) -> str:
    content = orjson.loads(service.vault.open(row.content))
    words = next((value for value in content.values() if isinstance(value, str) and value.strip()), row.id)
    return textwrap.shorten(words[:500], 160, placeholder=" …")


def _read(service: Service, item_id: str) -> Review:
    """What the page of an item needs, in one look.

    Raises Problem 404 where there is no such item, or no person is asked about it.
    """
    with service.engine.connect() as connection:
        row = queries.item(connection, item_id) if _id(item_id) else None
        if row is None or row.review is None or row.status is None:
            raise Problem(404, "No item with this id is for people to review.")
        answer = None
        if row.review not in BLIND:
            answers = queries.answers_of(connection, service.vault, item_id)
            answer = next((answer for answer in answers if answer["shown"]), None)
        outcomes = queries.outcomes_of(connection, service.vault, item_id)
        following = queries.next_in_queue(connection, row.seq)
    return Review(
        row,
        orjson.loads(service.vault.open(row.content)),
        answer,
        outcomes[-1] if outcomes else None,
        following.id if following is not None and following.id != item_id else None,
    )


def _id(given: str) -> str:
    """What was given, if it is an item's id; else nothing."""
    return given if ITEM_ID.fullmatch(given) else ""


def _same(present: dict[str, Any] | None, outcome: Outcome) -> bool:
    """Whether this is the present outcome, sent again: a button that was pressed twice."""
    if present is None or any(
        present[name] != getattr(outcome, name) for name in ("made_by", "action", "flag", "comment")
    ):
        return False
    final = outcome.final.model_dump(mode="json") if outcome.final else None
    return outcome.action == "accepted" or bool(present["final"] == final)
