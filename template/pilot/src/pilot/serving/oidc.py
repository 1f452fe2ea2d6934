"""Signing in by the organisation's identity provider: OpenID Connect with PKCE, beside reviewer keys.

The provider identifies people; the keys decide who may review. So access ends on either side.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import Request, Response
from httpx2 import HTTPError, InvalidURL
from joserfc.errors import JoseError

from pilot.serving.errors import Problem, unavailable
from pilot.settings import Settings

log = structlog.get_logger("pilot.oidc")
BACK = "/login/provider/back"
# What a sign-in under way must remember: state, nonce and verifier. The browser holds it; ten minutes must do.
COOKIE, _PATIENCE = "pilot_sign_in", 600
SIGNATURES = ("RS", "PS", "ES", "Ed")
_UNFINISHED = "This sign-in did not end as it began. Begin again."


async def _client(settings: Settings) -> Any:
    """The client of the provider, made anew for each sign-in, so that its keys and our secret are those of now."""
    secret = settings.oidc_client_secret
    client = OAuth().register(
        "provider",
        client_id=settings.oidc_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        server_metadata_url=f"{str(settings.oidc_issuer).rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256", "timeout": 10.0},
    )
    # Where a provider lists `none`, the library would take a token that nobody signed.
    metadata = await client.load_server_metadata()
    listed = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
    metadata["id_token_signing_alg_values_supported"] = [name for name in listed if name.startswith(SIGNATURES)]
    return client


async def begin(request: Request, settings: Settings, onward: str) -> Response:
    """Sends the browser to the provider, to come back to `BACK` and go on to `onward`.

    Raises Problem 503 where the provider does not answer.
    """
    request.scope["session"] = {}
    try:
        client = await _client(settings)
        response: Response = await client.authorize_redirect(request, f"{settings.public_url}{BACK}")
    except (HTTPError, InvalidURL, OAuthError, RuntimeError, ValueError) as error:
        raise _out_of_reach(error) from None
    kept = orjson.dumps({"onward": onward, "session": request.session})
    response.set_cookie(
        COOKIE,
        base64.urlsafe_b64encode(kept).decode(),
        _PATIENCE,
        path=BACK,
        secure=str(settings.public_url).startswith("https:"),
        httponly=True,
        # Not strict: the browser comes back from another site.
        samesite="lax",
    )
    return response


async def end(request: Request, settings: Settings) -> tuple[str, str]:
    """Who came back from the provider, by the claim of the settings, and where to go on to.

    Raises Problem 401 where the sign-in is not one that this browser began, the provider refused it, or what it
    answered does not hold; 403 where the claim is missing or not verified; 503 where the provider does not answer.
    """
    try:
        kept = orjson.loads(base64.urlsafe_b64decode(request.cookies.get(COOKIE, "")))
        request.scope["session"], onward = dict(kept["session"]), str(kept["onward"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Problem(401, _UNFINISHED) from None
    try:
        # The library checks the audience only on demand.
        wanted = {"iss": settings.oidc_issuer, "aud": settings.oidc_client_id}
        options = {name: {"essential": True, "values": [value]} for name, value in wanted.items()}
        client = await _client(settings)
        token = await client.authorize_access_token(request, claims_options=options)
        claims = token["userinfo"]
    except (OAuthError, JoseError, KeyError, TypeError, AttributeError) as error:
        log.warning("sign_in_refused", reason=getattr(error, "error", type(error).__name__))
        raise Problem(401, _UNFINISHED) from None
    except (HTTPError, InvalidURL, RuntimeError, ValueError) as error:
        raise _out_of_reach(error) from None
    return _name(claims, settings.oidc_claim), onward


def _name(claims: dict[str, Any], claim: str) -> str:
    """The claim that names the person. An address that the provider has not verified may be anybody's."""
    name = claims.get(claim)
    if not isinstance(name, str) or not name.strip():
        raise Problem(403, f"The identity provider gave no {claim!r}, by which reviewers are known here.")
    if claim == "email" and claims.get("email_verified") is not True:
        raise Problem(
            403,
            "The identity provider does not say that your e-mail address is verified, so it could be anybody's. The "
            "operator may choose another claim by PILOT_OIDC_CLAIM.",
        )
    return name.strip()


def _out_of_reach(error: Exception) -> Problem:
    log.warning("identity_provider_unavailable", reason=type(error).__name__)
    return unavailable("The identity provider does not answer. Try again shortly, or sign in with a reviewer key.", 5)
