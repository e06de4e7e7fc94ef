"""Prefect's server behind a door that answers some calls with 500, as a server under load does."""

from __future__ import annotations

import itertools
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = b'{"exception_message": "Internal Server Error"}'


@contextmanager
def faulty(api: str, fails: Callable[[int, str], bool], after: bool = False) -> Iterator[str]:
    """The address of an API in front of ``api``: the calls for whose number and path ``fails`` holds are answered 500.

    With ``after`` the server behind has done what it was asked, and the answer alone is lost.
    """
    numbers = itertools.count(1)

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = fails(next(numbers), self.path)
            code, found = (500, FAULT) if fault and not after else self.ask(body)
            if fault:
                code, found = 500, FAULT
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def ask(self, body: bytes) -> tuple[int, bytes]:
            url = api.removesuffix("/api") + self.path
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            request = urllib.request.Request(url, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        door.daemon_threads = True
        threading.Thread(target=door.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{door.server_address[1]}/api"
        finally:
            door.shutdown()
