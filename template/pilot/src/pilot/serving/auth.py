"""Who may do what: keys in the header, sessions on the pages, and the roles that each route serves."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response

from pilot.records import keys
from pilot.records.keys import SESSION, Key
from pilot.serving import schemas
from pilot.serving.errors import Problem, unavailable
from pilot.serving.service import Service


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


async def bearer(request: Request, roles: tuple[str, ...]) -> Key:
    """The key of the request.

    Raises Problem 401 where it is missing or not in force, 403 where its role is not of `roles`, and 503 where it is
    unknown and the database cannot be asked.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    live = service_of(request).live
    key = await live.key(secret) if scheme.lower() == "bearer" and secret else None
    if key is None:
        if secret and not live.reachable:
            raise unavailable("The database does not answer, so the key cannot be checked. Try again shortly.", 5)
        raise Problem(
            401,
            "Send a key that is in force as `Authorization: Bearer KEY`. `pilot keys create` makes one.",
            {"www-authenticate": "Bearer"},
        )
    if key.role not in roles:
        raise Problem(403, f"This needs a key of the role {' or '.join(roles)}; this one is a {key.role}'s.")
    return key


class Roles:
    """A FastAPI dependency: the key of the request, of one of these roles."""

    def __init__(self, *roles: str) -> None:
        self.roles = roles

    async def __call__(self, request: Request) -> Key:
        return await bearer(request, self.roles)


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
    service = service_of(request)
    secret = request.cookies.get(COOKIE, "")

    def read() -> Key | None:
        with service.engine.connect() as connection:
            return keys.session_key(connection, secret)

    key = await asyncio.to_thread(read) if secret else None
    if key is None or key.role != "reviewer":
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


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form in UTF-8, with line ends as LF. A body of another type has none.

    Raises Problem 413 beyond the setting `max_body`, 400 for what is unreadable.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    body = await schemas.read_stream(request, service_of(request).settings.max_body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Problem(400, "The form is not readable. Send it from the page.") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
