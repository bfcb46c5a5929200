"""A publisher's page of signed feed data, served over HTTP on this host, for keepers to poll.

It serves what a test put on it, as it is; whether it is any good it must not know.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deploy.devnet.venue.quotes import Quotes


class SignedPage:
    """The page; `items` are what it lists now."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/feeds"

    @property
    def settings(self) -> dict[str, Any]:
        """An entry of `[[oracles]]` that polls it."""
        return {
            "name": "publisher",
            "kind": "signed",
            "poll_url": self.url,
            "items_path": "data",
            "poll_ms": 50,
            "post_ms": 10,
        }

    def show(self, quotes: Quotes, *changes: tuple[bytes, bytes]) -> None:
        """List a batch of quotes as a publisher would, with bytes of it changed by a tamperer."""
        for feed, data in quotes.batch:
            forged = data
            for old, new in changes:
                forged = forged.replace(old, new)
            self.items.append(
                {
                    "feed": feed,
                    "payload": "0x" + forged.hex(),
                    "timestamp": quotes.timestamp,
                    "deadline": str(quotes.timestamp + quotes.deadline_s),
                }
            )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"data": page.items}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def signed_page() -> Iterator[SignedPage]:
    """Serve a page for as long as the test runs."""
    page = SignedPage()
    serving = threading.Thread(target=page._server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield page
    finally:
        page._server.shutdown()
        serving.join()
        page._server.server_close()
