"""Who may do what: a key in the header gives a role, and each route names the roles that it serves."""

from __future__ import annotations

from fastapi import Request

from pilot.records.keys import Key
from pilot.serving.problems import Problem, unavailable
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
    in_force = service_of(request).in_force
    key = await in_force.key(secret) if scheme.lower() == "bearer" and secret else None
    if key is None:
        if secret and not in_force.reachable:
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
