"""A web server on this machine that behaves, or misbehaves, as a test tells it."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler", bytes], None]
"""Answers one request; given the handler and the file that a good server would send."""


class Server:
    """Files by name, a behaviour by mirror, and a count of the requests."""

    def __init__(self, files: dict[str, bytes], tls: ssl.SSLContext | None = None) -> None:
        self.files = files
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: Counter[str] = Counter()
        self._http = _Http(("127.0.0.1", 0), Handler)
        self._http.server = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)

    def mirror(self, name: str, behaviour: Behaviour) -> str:
        """The base URL of a mirror with that behaviour."""
        self.behaviours[name] = behaviour
        return f"{self._scheme}://127.0.0.1:{self._http.server_port}/{name}/"


class _Http(ThreadingHTTPServer):
    server: Server
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        owner = self.server.server  # type: ignore[attr-defined]
        mirror, _, name = self.path.strip("/").partition("/")
        owner.requests[self.path] += 1
        owner.behaviours[mirror](self, owner.files.get(name, b""))

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

    def reply(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(files: dict[str, bytes], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(files, tls)
    thread = threading.Thread(target=server._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._http.shutdown()
        server._http.server_close()
        thread.join()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that answers each connection as a test tells it, without HTTP; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def reply(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a client that hangs up is part of these tests
            answer(connection)

    def accept() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                threading.Thread(target=reply, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_over.set()
        with suppress(OSError):  # wakes the thread that accepts
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a byte now and then."""
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def raw(head: bytes, body: bytes | None = None) -> Behaviour:
    """Answer with these bytes, and close; the body is that of a good server unless another is given."""

    def answer(handler: Handler, good_body: bytes) -> None:
        handler.wfile.write(head.replace(b"LENGTH", str(len(good_body)).encode()) + (good_body if body is None else body))
        handler.close_connection = True

    return answer


def good(handler: Handler, body: bytes) -> None:
    handler.reply(200, body)


def slow_but_good(handler: Handler, body: bytes) -> None:
    time.sleep(0.3)
    handler.reply(200, body)


def says_gzip_encoded(handler: Handler, body: bytes) -> None:
    """As an Apache with AddEncoding does: the file itself is the gzip stream."""
    handler.reply(200, body, Content_Encoding="gzip")


def status(code: int) -> Behaviour:
    return lambda handler, body: handler.reply(code, b"no")


def wrong_bytes(handler: Handler, body: bytes) -> None:
    handler.reply(200, bytes(len(body)))


def too_short(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[: len(body) // 2])


def cut_off(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[: len(body) // 2], length=len(body))


def too_long(handler: Handler, body: bytes) -> None:
    handler.reply(200, body + bytes(1000))


def endless(handler: Handler, body: bytes) -> None:
    handler.reply(200, body, length=1 << 60)
    for _ in range(1000):
        handler.wfile.write(bytes(65536))


def web_page(handler: Handler, body: bytes) -> None:
    handler.reply(200, b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8")


def reset(handler: Handler, body: bytes) -> None:
    """Send half, then drop the connection with a TCP reset."""
    handler.reply(200, body[: len(body) // 2], length=len(body))
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def silent(handler: Handler, body: bytes) -> None:
    time.sleep(1.5)


def dripping(handler: Handler, body: bytes) -> None:
    handler.reply(200, b"", length=len(body))
    _drip(handler, body[:60])


def dripping_headers(handler: Handler, body: bytes) -> None:
    """Send a byte of a header now and then: the socket is never silent, and the body never begins."""
    handler.send_response(200)
    handler.flush_headers()
    _drip(handler, b"X-Filler: " + b"x" * 200)


def dripping_chunk_length(handler: Handler, body: bytes) -> None:
    """Send zeros of the first chunk's length now and then."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    _drip(handler, b"0" * 200)


def _drip(handler: Handler, data: bytes) -> None:
    for byte in data:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def two_kib_a_second(handler: Handler, body: bytes) -> None:
    handler.reply(200, b"", length=len(body))
    for offset in range(0, len(body), 102):
        handler.wfile.write(body[offset : offset + 102])
        handler.wfile.flush()
        time.sleep(0.05)


def only_for(user: str, password: str) -> Behaviour:
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda handler, body: handler.reply(200 if handler.headers["Authorization"] == expected else 401, body)


def redirect_with_endless_body(target: str) -> Behaviour:
    """Redirect every file to another mirror, and go on sending."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.reply(302, b"", length=1 << 60, Location=target + handler.path.rpartition("/")[2])
        _drip(handler, bytes(60))

    return answer


def redirect(target: str) -> Behaviour:
    return lambda handler, body: handler.reply(302, b"", Location=target)


def redirect_in_a_circle(handler: Handler, body: bytes) -> None:
    handler.reply(302, b"", Location=handler.path)
