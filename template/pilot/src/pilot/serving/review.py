"""The pages for people: signing in, the queue, and the review of an item. Plain forms; no script anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import textwrap
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Connection, Row

from pilot.contract import Team, labels
from pilot.records import keys, outcomes, queries
from pilot.records.keys import Key
from pilot.records.outcomes import Conflict, Outcome, Refused
from pilot.serving import auth, forms, marks, oidc, schemas, values
from pilot.serving.api import ITEM_ID
from pilot.serving.auth import Session, SignedOut, service_of, session_of
from pilot.serving.errors import Problem, counted
from pilot.serving.guide import Guide
from pilot.serving.service import Service
from pilot.settings import Settings

log = structlog.get_logger("pilot.review")
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
    "ceiling": "The AI has cost what it may cost today.",
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
templates.filters |= {"percent": percent, "band": band, "text": values.text}
templates.globals |= {"reasons": REASONS, "flags": forms.FLAGS}


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page. `session` is none while nobody is signed in."""
    known = {"session": None, "pilot": service_of(request).name, "request_id": request.scope["request_id"]}
    values = {**known, "guided": request.app.state.guide is not None, **values}
    return HTMLResponse(templates.get_template(template).render(values), status)


def login_form(request: Request, status: int = 200, error: str | None = None) -> Response:
    """The page to sign in, which leads back to the item that was asked for."""
    onward = request.url.path if leads_to_item(request.url.path) else ""
    provider = service_of(request).settings.oidc_issuer is not None
    response = render(
        request, "login.html", status, error=error, onward=onward, provider=provider, typed=typed(request)
    )
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def leads_to_item(path: str) -> bool:
    """Whether a path is the review of an item: the one place to go on to after signing in."""
    return path.startswith("/review/") and ITEM_ID.fullmatch(path.removeprefix("/review/")) is not None


def to_guide(request: Request, session: Session) -> Response | None:
    """The way to the user guide, for whoever has not read its present version."""
    guide: Guide | None = request.app.state.guide
    if guide is None or session.key.guide == guide.version:
        return None
    path = request.url.path
    return RedirectResponse(f"/guide?onward={path}" if leads_to_item(path) else "/guide", 303)


def typed(request: Request) -> dict[str, str]:
    """What a person entered into a form and would not like to lose: the decision and the comment."""
    form = getattr(request.state, "form", {})
    kept = {name: value for name, value in form.items() if name.startswith("final-") or name in ("action", "comment")}
    return {_called(name.removeprefix("final-")): value for name, value in kept.items() if value}


def _called(path: str) -> str:
    """The name of a field of a form, for people, who count rows from 1."""
    parts = (str(int(part) + 1) if part.isdigit() else part.replace("_", " ") for part in path.split("-"))
    return " ".join(parts).capitalize()


# A list of nested models has a field for each part of each row.
FORM_FIELDS = 2000


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
                    auth.check_origin(request)
                    most = FORM_FIELDS if leads_to_item(request.url.path) else 100
                    request.state.form = await auth.read_form(request, most)
                response = await handle(request)
            except SignedOut:
                lost = "Your session has ended, so nothing was saved." if typed(request) else None
                response = login_form(request, 401, lost)
            except Exception as error:
                problem = counted(request, error)
                if problem.status == 500:
                    log.error("page_failed", exc_info=error)
                response = render(request, "problem.html", problem.status, problem=problem, typed=typed(request))
                response.headers.update(problem.headers)
            response.headers.update(HEADERS)
            return response

        return page


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
    body = schemas.outcome_request(team.prediction)
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
        return login_form(request)

    @router.post("/login")
    async def login(request: Request) -> Response:
        service, form = service_of(request), request.state.form
        key = await auth.offered(request, form.get("key", "").strip())
        if key is None:
            return login_form(request, 401, "This key is not in force. Check that you have copied all of it.")
        if key.role not in auth.roles_of(request):
            await auth.note_role(request, key)
            return login_form(request, 403, f"This key has the role {key.role}. Signing in here needs a reviewer's.")
        secret = await service.committer.call(lambda connection: keys.open_session(connection, key))
        onward = form.get("onward", "")
        response = RedirectResponse(onward if leads_to_item(onward) else "/review", 303)
        auth.set_cookie(request, response, secret)
        return response

    @router.get("/login/provider")
    async def provider(request: Request, onward: str = "") -> Response:
        await auth.guessed(request, counts=False)
        return await oidc.begin(request, _with_provider(request), onward if leads_to_item(onward) else "/review")

    @router.get(oidc.BACK)
    async def back(request: Request) -> Response:
        settings = _with_provider(request)
        await auth.guessed(request, counts=False)
        try:
            name, onward = await oidc.end(request, settings)
            key = await _reviewer(request, name, settings.oidc_claim != "email")
        except Problem as problem:
            if problem.status != 503:
                await auth.guessed(request)
            return login_form(request, problem.status, problem.detail)
        secret = await service_of(request).committer.call(lambda open: keys.open_session(open, key, "provider"))
        # Not a redirect: a browser that comes from another site would not send the new session along with it.
        onward = onward if leads_to_item(onward) else "/review"
        response = render(request, "signed_in.html", name=key.name, onward=onward)
        auth.set_cookie(request, response, secret)
        response.delete_cookie(oidc.COOKIE, path=oidc.BACK)
        return response

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        session = await session_of(request)
        auth.check_token(session, request.state.form)
        await service_of(request).committer.call(lambda connection: keys.close_session(connection, session.secret))
        response = RedirectResponse("/login", 303)
        response.delete_cookie(auth.COOKIE)
        return response

    @router.get("/guide")
    async def guide(request: Request, onward: str = "") -> Response:
        session, found = await session_of(request), request.app.state.guide
        if found is None:
            raise Problem(404, "This pilot has no user guide yet.")
        read, again = session.key.guide == found.version, session.key.guide is not None
        return render(request, "guide.html", session=session, guide=found, read=read, again=again, onward=onward)

    @router.post("/guide")
    async def read_guide(request: Request) -> Response:
        session, form, found = await session_of(request), request.state.form, request.app.state.guide
        auth.check_token(session, form)
        if found is not None and form.get("version") == found.version:
            read = partial(keys.read_guide, key=session.key, version=found.version)
            await service_of(request).committer.call(read)
        onward = form.get("onward", "")
        return RedirectResponse(onward if leads_to_item(onward) else "/review", 303)

    @router.get("/review")
    async def queue(request: Request, saved: str = "") -> Response:
        session, service = await session_of(request), service_of(request)
        if first := to_guide(request, session):
            return first
        length, rows = await asyncio.to_thread(_queue, service)
        mode = service.live.mode
        return render(request, "queue.html", session=session, length=length, rows=rows, saved=_id(saved), mode=mode)

    @router.get("/review/{item_id}")
    async def review(request: Request, item_id: str, saved: str = "") -> Response:
        session = await session_of(request)
        if first := to_guide(request, session):
            return first
        found = await asyncio.to_thread(_read, service_of(request), item_id)
        return _form(request, session, found, saved=_id(saved))

    @router.post("/review/{item_id}")
    async def judge(request: Request, item_id: str) -> Response:
        session, service, form = await session_of(request), service_of(request), request.state.form
        auth.check_token(session, form)
        found = await asyncio.to_thread(_read, service, item_id)
        if found.outcome is not None and not found.decided_by(session.key.name):
            return _form(request, session, found, 409)
        asked = _questions(service)
        filled_in = _filled_in(found, asked)
        answer = team.prediction.model_validate(found.answer["prediction"]) if found.answer and filled_in else None
        if "more" in form or "remove" in form:
            return _form(request, session, found, focus=_other_rows(form, asked))
        entered = forms.entered(form, asked, body, found.kind == "assist", answer)
        if entered.errors:
            return _form(request, session, found, 422, errors=entered.errors)
        final = entered.values["final"]
        if answer is not None and final is not None and entered.values["action"] != "rejected":
            edited = forms.drafts(asked, answer, final)
            if edited and form.get("seen") != _digest(edited):
                return _form(request, session, found, edited=edited)
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
            place = "action" if error.field == "action" and not filled_in else "final"
            place = asked[0].id if place == "final" and len(asked) == 1 else place
            return _form(request, session, found, 422, errors={place: str(error)})
        except Conflict:
            found = await asyncio.to_thread(_read, service, item_id)
            if not _same(found.outcome, outcome):
                return _form(request, session, found, 409)
        else:
            service.metrics.judged(outcome)
        onward = f"/{found.following}" if found.following else ""
        return RedirectResponse(f"/review{onward}?saved={item_id}", 303)

    return router


def _with_provider(request: Request) -> Settings:
    """The settings, where they name an identity provider. Raises Problem 404 where they do not."""
    settings = service_of(request).settings
    if settings.oidc_issuer is None:
        raise Problem(404, "Signing in by an identity provider is not set up here.")
    return settings


async def _reviewer(request: Request, name: str, exact: bool) -> Key:
    """The reviewer's key of this name. Raises Problem 403 where none is in force."""
    service = service_of(request)

    def read() -> Key | None:
        with service.engine.connect() as connection:
            return keys.of_person(connection, name, "reviewer", exact=exact)

    key = await asyncio.to_thread(read)
    if key is None:
        await auth.note_stranger(request, name)
        raise Problem(403, f"You are {name} at the identity provider, and no reviewer here. Ask the operator.")
    return key


def _form(
    request: Request,
    session: Session,
    found: Review,
    status: int = 200,
    *,
    errors: dict[str, str] | None = None,
    saved: str = "",
    focus: str = "",
    edited: list[forms.Edited] | None = None,
) -> Response:
    """The page of an item: empty, or filled in with the answer, with the person's present outcome, or with what was
    just typed. `edited` are the drafts whose differences are shown before they are sent."""
    service = service_of(request)
    team, asked = service.team, _questions(service)
    filled_in = _filled_in(found, asked)
    answer: dict[str, Any] = found.answer["prediction"] if found.answer and filled_in else {}
    answered = forms.as_fields(asked, answer)
    form: dict[str, str] = getattr(request.state, "form", {})
    stamp = form.get("stamp") or session.stamp(found.item.id)
    mine = found.decided_by(session.key.name)
    if found.outcome is not None and mine:
        present = forms.as_form(found.outcome, asked, answer if filled_in else None)
        form = {**(form or present), "version": str(found.outcome["version"])}
    unsure = _unsure(service, found, asked) if filled_in else {}
    first_look = request.method == "GET" and not mine
    return render(
        request,
        "review.html",
        status,
        session=session,
        review=found,
        fields=values.shown(team.item, found.content),
        predicted=lambda content: values.shown(team.prediction, content),
        marked=marks.marker(team.prediction, answer),
        questions=asked,
        form=form or answered,
        filled_in=filled_in,
        answered=answered,
        unsure=unsure,
        ranges=_ranges(found, asked) if filled_in else {},
        focus=focus or (next((one.entry(answered) for one in asked if one.id in unsure), "") if first_look else ""),
        edited=edited or [],
        seen=_digest(edited) if edited else form.get("seen", ""),
        stamp=stamp,
        errors=errors or {},
        mine=mine,
        closed=found.outcome is not None and not mine,
        conflict=status == 409,
        typed=typed(request),
        saved=saved,
    )


def _filled_in(found: Review, asked: tuple[forms.Question, ...]) -> bool:
    """Whether the form holds the answer, which the person edits."""
    return found.kind == "assist" and not forms.exchanged(asked)


def _unsure(service: Service, found: Review, asked: tuple[forms.Question, ...]) -> dict[str, float]:
    """The confidence of each field of the answer that is below its threshold, by the id of the question."""
    answer = found.answer or {}
    of_fields = answer.get("confidences") or {}
    known = {one: of_fields.get(one.name, answer.get("confidence")) for one in asked}
    limits = service.settings
    return {one.id: sure for one, sure in known.items() if sure is not None and sure < limits.threshold_of(one.name)}


def _ranges(found: Review, asked: tuple[forms.Question, ...]) -> dict[str, tuple[float, float]]:
    """The interval that the answer gives for a number, by the id of the question."""
    known = (found.answer or {}).get("intervals") or {}
    return {one.id: known[one.name] for one in asked if one.name in known}


def _other_rows(form: dict[str, str], asked: tuple[forms.Question, ...]) -> str:
    """Adds the rows that a button asks for, or takes the one away that another names. Returns the id of the field to go
    on with."""
    if "more" in form:
        return forms.more_rows(form, asked, form.pop("more"))
    gone = form.pop("remove", "")
    for name in [name for name in form if gone and name.startswith(f"{gone}-")]:
        del form[name]
    return gone.rpartition("-")[0]


def _digest(edited: list[forms.Edited]) -> str:
    """Stands for the differences that a person saw."""
    return hashlib.sha256(repr(edited).encode()).hexdigest()


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
    words = next((text for text in values.texts(content) if text.strip()), row.id)
    return textwrap.shorten(words[:500], 160, placeholder=" …")


def _read(service: Service, item_id: str) -> Review:
    """What the page of an item needs, in one look.

    Raises Problem 404 where there is no such item, or no person is asked about it.
    """
    with service.engine.connect() as connection:
        row = queries.item(connection, item_id) if _id(item_id) else None
        if row is None or row.review is None or row.status is None or row.erased_at is not None:
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
