"""A stand-in for the advisory service that pip-audit asks, on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ADVISORY = "PYSEC-2099-1"


def known(name: str) -> dict[str, Any]:
    """An advisory against every version of a package, in the format of OSV."""
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
    }
    return {"id": ADVISORY, "modified": "2099-01-01T00:00:00Z", "summary": "Planted", "affected": [affected]}


@dataclass
class Advisories:
    """What the service knows against which packages, whether it works, and what it was asked."""

    url: str
    vulnerable: set[str] = field(default_factory=set)
    works: bool = True
    asked: set[tuple[str, str]] = field(default_factory=set)


@contextmanager
def advisories() -> Iterator[Advisories]:
    """The service, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = query["package"]["name"]
            service.asked.add((name, query["version"]))
            answer = json.dumps({"vulns": [known(name)]} if name in service.vulnerable else {}).encode()
            self.send_response(200 if service.works else 500)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Keeps the requests out of the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Advisories(f"http://127.0.0.1:{server.server_port}/v1/query")
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield service
        finally:
            server.shutdown()
