"""An S3 server on the loopback (moto's), and a proxy before it that fails where a test wants it to."""

import os
import selectors
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}  # fmt: skip


class Server:
    """A running server: ``port`` of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | CREDENTIALS)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self._process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def new(self, bucket: str, port: int | None = None) -> str:
        """Make a bucket; the address of a store in it."""
        import pyarrow.fs

        there = f"127.0.0.1:{self.port}"
        files = pyarrow.fs.S3FileSystem(
            endpoint_override=there, scheme="http", region="us-east-1", allow_bucket_creation=True
        )
        files.create_dir(bucket)
        return f"s3://{bucket}/store?endpoint_override=http://127.0.0.1:{port or self.port}"


@contextmanager
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        running.stop()


DROP, STALL = b"drop", b"stall"
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 71\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
)
DENIED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 70\r\n\r\n"
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


class Proxy(socketserver.ThreadingTCPServer):
    """Passes connections on to a server; each of ``faults`` is what becomes of one of them instead."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server, self.faults, self.failed, self.port = server, [], 0, self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy = self.server
        if proxy.faults:
            fault = proxy.faults.pop(0)
            proxy.failed += 1
            self.request.recv(65536)
            if fault == STALL:
                while self.request.recv(65536):
                    pass
            elif fault != DROP:
                self.request.sendall(fault)
            return
        with suppress(OSError), socket.create_connection(("127.0.0.1", proxy.server.port)) as onward:
            ends = {self.request: onward, onward: self.request}
            with selectors.DefaultSelector() as ready:  # select() takes no more than 1,024 open files
                for end in ends:
                    ready.register(end, selectors.EVENT_READ)
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        ends[key.fileobj].sendall(data)
