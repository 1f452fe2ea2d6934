"""Who may do what: keys in the header, sessions on the pages, and the roles that each route serves."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import structlog
from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from pilot.records import audit, keys
from pilot.records.database import fault
from pilot.records.keys import SESSION, Key
from pilot.serving import schemas
from pilot.serving.errors import Problem, too_many, unavailable
from pilot.serving.service import Service

log = structlog.get_logger("pilot.auth")


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


# Who may do what: the roles of each route of the service. A route that is neither here nor in OPEN is nobody's.
ACCESS: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/v1/predictions"): ("caller",),
    ("GET", "/v1/predictions"): ("caller", "operator", "auditor"),
    ("GET", "/v1/predictions/{item_id}"): ("caller", "operator", "auditor"),
    ("POST", "/v1/predictions/{item_id}/outcome"): ("caller", "reviewer"),
    ("POST", "/v1/predictions/{item_id}/feedback"): ("caller", "reviewer"),
    ("GET", "/v1/audit"): ("auditor",),
    ("GET", "/v1/rollout"): ("operator", "auditor"),
    ("PUT", "/v1/rollout"): ("operator",),
    ("GET", "/metrics"): ("operator",),
    ("GET", "/openapi.json"): ("caller", "reviewer", "operator", "auditor"),
    # The pages, whose readers have signed in.
    ("GET", "/guide"): ("reviewer",),
    ("POST", "/guide"): ("reviewer",),
    ("GET", "/review"): ("reviewer",),
    ("GET", "/review/{item_id}"): ("reviewer",),
    ("POST", "/review/{item_id}"): ("reviewer",),
    ("POST", "/login"): ("reviewer",),
    ("POST", "/logout"): ("reviewer",),
}
OPEN = frozenset(
    ("GET", path)
    for path in ("/", "/healthz", "/readyz", "/login", "/login/provider", "/login/provider/back", "/static/{name}")
)


async def allowed(request: Request) -> Key:
    """A FastAPI dependency: the key of the request, of a role that ACCESS gives its route. Raises as `bearer`."""
    return await bearer(request, roles_of(request))


def roles_of(request: Request) -> tuple[str, ...]:
    """The roles that ACCESS gives the route of a request: none where it is not there."""
    method = "GET" if request.method == "HEAD" else request.method
    return ACCESS.get((method, request.scope["route"].path), ())


async def bearer(request: Request, roles: tuple[str, ...]) -> Key:
    """The key of the request. A team's own routes name their roles by it.

    Raises Problem 401 where it is missing or not in force, 429 where too many such keys came from its address, 403
    where its role is not of `roles`, and 503 where it is unknown and the database cannot be asked.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    key = await offered(request, secret if scheme.lower() == "bearer" else "")
    if key is None:
        raise Problem(
            401,
            "Send a key that is in force as `Authorization: Bearer KEY`. `pilot keys create` makes one.",
            {"www-authenticate": "Bearer"},
        )
    if key.role not in roles:
        await note_role(request, key)
        needed = f"needs a key of the role {' or '.join(roles)}" if roles else "is open to no role"
        raise Problem(403, f"This {needed}; this one has the role {key.role}.")
    return key


async def offered(request: Request, secret: str) -> Key | None:
    """The key with this secret, if one is in force. A key in force is never held up by wrong ones of its address.

    Raises Problem 429 where too many wrong ones came from there, 503 where the database cannot be asked.
    """
    service = service_of(request)
    if not secret:
        return None
    if (key := service.live.known(secret)) is not None:
        return key
    await guessed(request)
    if (key := await service.live.key(secret)) is not None:
        return key
    if not service.live.reachable:
        raise unavailable("The database does not answer, so the key cannot be checked. Try again shortly.", 5)
    return None


async def guessed(request: Request, *, counts: bool = True) -> None:
    """Counts an attempt to come in, or only looks whether there were too many from the address: then Problem 429."""
    service, address = service_of(request), request.client.host if request.client else "unknown"
    wait = service.rates.guess(address, counts=counts)
    if wait is not None:
        await _note(service, "keys.refused", address, address, {"address": address})
        raise too_many("Too many keys or sign-ins that do not hold came from this address.", wait)


async def note_role(request: Request, key: Key) -> None:
    """Leaves a trace of a key that tried another role's function."""
    route = f"{request.method} {request.scope['route'].path}"
    detail = {"key": key.id, "role": key.role, "route": route}
    await _note(service_of(request), "role.refused", key.id, key.name, detail)


async def note_stranger(request: Request, name: str) -> None:
    """Leaves a trace of somebody who signed in at the identity provider and is no reviewer."""
    detail = {"reason": "no reviewer key of this name is in force"}
    await _note(service_of(request), "sign_in.refused", name, name[:200], detail)


async def _note(service: Service, event: str, of: str, who: str, detail: dict[str, str]) -> None:
    """An entry of a refusal, unless there was one `of` the same lately. It stands where that cannot be written."""
    if not service.rates.noteworthy(event, of):
        return
    try:
        await service.committer.call(partial(audit.append, actor=who, event=event, detail=detail))
    except SQLAlchemyError as error:
        log.warning("refusal_not_noted", reason=fault(error).kind)


COOKIE = "pilot_session"
# For a form that was open for longer, the time of work is not known.
LONGEST_WORK = 3600.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SignedOut(Exception):
    """Nobody is signed in: no session, one that has ended, or one whose key was revoked."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in. `secret` is the cookie's; whatever a form has to prove is derived from it."""

    secret: str
    key: Key

    @property
    def token(self) -> str:
        """The token that every form of this session carries."""
        return self._mac("form")

    def stamp(self, item_id: str) -> str:
        """The present moment, signed for an item's form."""
        moment = f"{time.time():.1f}"
        return f"{moment}-{self._mac(f'{item_id} {moment}')}"

    def seconds_since(self, item_id: str, stamp: str) -> float | None:
        """Seconds since `stamp` was made; none where it was not made here, or more than an hour ago."""
        moment, _, mac = stamp.partition("-")
        if not _equal(mac, self._mac(f"{item_id} {moment}")):
            return None
        seconds = round(time.time() - float(moment), 1)
        return seconds if 0 <= seconds <= LONGEST_WORK else None

    def _mac(self, what: str) -> str:
        return hmac.new(self.secret.encode(), what.encode(), hashlib.sha256).hexdigest()


async def session_of(request: Request) -> Session:
    """The session of the request, looked up in the database, so that a revoked key ends it at once.

    Raises SignedOut, and SQLAlchemyError when the database does not answer.
    """
    secret = request.cookies.get(COOKIE, "")
    key = await service_of(request).read(partial(keys.session_key, secret=secret)) if secret else None
    if key is None or key.role not in roles_of(request):
        raise SignedOut
    return Session(secret, key)


def set_cookie(request: Request, response: Response, secret: str) -> None:
    """Hands the session to the browser: for this host and its own pages alone, and never to a script."""
    secure = request.url.hostname not in _LOOPBACK
    response.set_cookie(
        COOKIE, secret, int(SESSION.total_seconds()), path="/", secure=secure, httponly=True, samesite="strict"
    )


def check_origin(request: Request) -> None:
    """Refuses a form that another site sent. Browsers name the sender; what names none is no browser.

    Raises Problem 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    sender = urlsplit(origin or "")
    if site not in (None, "same-origin", "none") or (
        site is None and origin is not None and sender.netloc.lower() != request.headers.get("host", "").lower()
    ):
        raise Problem(403, "This form was not sent from this service's own page. Open the page and send it from there.")
    if sender.scheme == "http" and sender.hostname not in _LOOPBACK:
        raise Problem(
            403, "Open this page over https, or on the machine itself: plain http would show your session to others."
        )


def check_token(session: Session, form: dict[str, str]) -> None:
    """Refuses a form that does not carry its session's token.

    Raises Problem 403.
    """
    if not _equal(form.get("token", ""), session.token):
        raise Problem(403, "This form belongs to another session. Open the page again and send it from there.")


async def read_form(request: Request, most: int) -> dict[str, str]:
    """The fields of a form, `most` at the utmost, in UTF-8, with line ends as LF. A body of another type has none.

    Raises Problem 413 beyond the setting `max_body`, 400 for what is unreadable.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    body = await schemas.read_stream(request, service_of(request).settings.max_body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=most)
    except ValueError as error:
        raise Problem(400, "The form is not readable. Send it from the page.") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
