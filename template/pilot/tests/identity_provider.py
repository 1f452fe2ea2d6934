"""A real identity provider, Canaille, with two people and one client: `python identity_provider.py PORT BACK`."""

from __future__ import annotations

import sys

from canaille import create_app
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET, PASSWORD = "triage", "a-secret-of-the-client", "a long enough password"
PEOPLE = ("ann", "bob")


def main(port: int, back: str) -> None:
    """Serves on the port of this machine; the client comes back to `back`."""
    app = create_app(
        {
            "SECRET_KEY": "of the tests",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)]},
        }
    )
    with app.app_context():
        from canaille.app import models
        from canaille.backends import Backend

        for name in PEOPLE:
            person = models.User(user_name=name, family_name=name, emails=[f"{name}@example.com"], password=PASSWORD)
            Backend.instance.save(person)
        client = models.Client(
            client_id=CLIENT,
            client_name="Ticket triage",
            client_secret=SECRET,
            redirect_uris=[back],
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "email", "profile"],
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
    make_server("127.0.0.1", port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
