"""HTTP for the browser on this machine, by the standard library: nobody else may ask, and nothing that is asked can do harm.

    it listens on 127.0.0.1 alone
    Host and Origin    must be this server's, so that no other site's name can stand for it (DNS rebinding, cross-site requests)
    token              in the page's address, then in a header of every request: another user of the machine does not know it
    limits             of a request's size and time, and of the connections at once
    CSP                the page runs its own script alone, and asks nobody else

One thread computes, for all connections: kernels keep their memory and their number of threads by thread.
"""

import base64
import hashlib
import json
import math
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from numbacnn.errors import DeviceError, NumbaCNNError
from numbacnn.play.player import Player

ADDRESS = "127.0.0.1"
MOST_BYTES = 1_100_000
"""Of a request's body: a drawing of 1,000 by 1,000 pixels, and some more."""
MOST_DRAINED = 200_000_000
"""Bytes of a body that is too large: they are read and forgotten, as a client that still sends may not see the answer."""
MOST_CONNECTIONS = 32
IDLE_SECONDS = 30.0
"""For which a connection may say nothing."""
TOKEN_HEADER = "X-Token"


class _Refused(Exception):
    """A request that gets no answer but its status and a reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class PlayServer(ThreadingHTTPServer):
    """The page of a player, for one browser on this machine.

    It listens from the beginning on; ``player`` may be set later, before ``serve_forever``.

    Args:
        port: 0 for a free one.
        compute: the one thread that computes.
        report: told in one line of an error that is this program's fault.

    Raises:
        DeviceError: the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there, it would share a port that is in use
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, port: int, compute: ThreadPoolExecutor, report: Callable[[str], None] = lambda text: None) -> None:
        self.player: Player | None = None
        self.compute, self.report = compute, report
        self.token = secrets.token_urlsafe(24)
        self.page = files("numbacnn.play").joinpath("page.html").read_bytes()
        self.policy = _policy(self.page.decode("utf-8"))
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DeviceError(
                f"port {port}: expected one that is free, got: {reason}. Give another --port, or none for a free one"
            ) from None

    def server_bind(self) -> None:
        """Without the look-up of the host's name, which may ask a name server."""
        socket_bind = self.socket.bind
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket_bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    @property
    def url(self) -> str:
        """The page's address, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser may call this server."""
        names = (ADDRESS, "localhost")
        return tuple(f"{name}:{self.server_port}" for name in names) + (names if self.server_port == 80 else ())

    def read_training_images(self) -> None:
        """Let the computing thread read training images in the time that answers leave it."""
        player = self.player
        assert player is not None

        def read() -> None:
            if player.read_more():
                with suppress(RuntimeError):  # the thread has been told to end
                    self.compute.submit(read)

        self.compute.submit(read)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, unless there are too many."""
        if not self._slots.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):  # ValueError: its stream is closed already
            self.report(f"a request failed: {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    server: PlayServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "numbacnn", ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # else an answer may wait for the browser's word on the part before

    def do_GET(self) -> None:
        self._answered(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answered(self._post)

    def handle_expect_100(self) -> bool:
        """Refuse a request before its body is sent, if its head is enough to do so."""
        try:
            self._check_sender()
            self._length()
        except _Refused as refusal:
            self.close_connection = True
            self._send_refusal(refusal)
            return False
        return super().handle_expect_100()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a library does not print, and every movement of the pen is a request."""

    def _answered(self, answer: Callable[[], None]) -> None:
        try:
            self._check_sender()
            answer()
        except _Refused as refusal:
            self.close_connection = True  # what is left of the request must not be taken for the next one
            self._send_refusal(refusal)
            self._drain()
        except NumbaCNNError as error:  # the page shows it: to the browser, the request was a good one
            self._send_json({"error": str(error)})
        except MemoryError:
            self._send_json({"error": "out of memory. Close other programs, or play with a smaller network"})
        except OSError:
            raise
        except Exception as error:
            self.close_connection = True
            self.server.report(f"a request failed: {type(error).__name__}: {error}")
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", b"an error of this program\n")

    def _check_sender(self) -> None:
        hosts, origin = self.headers.get_all("Host", []), self.headers.get("Origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, f"Host: expected {self.server.hosts[0]}. Open the address that was printed")
        if origin is not None and origin.lower() not in [f"http://{host}" for host in self.server.hosts]:
            raise _Refused(HTTPStatus.FORBIDDEN, "Origin: expected this page. Open the address that was printed")
        token = self.headers.get(TOKEN_HEADER) or self._query().get("token", "")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise _Refused(
                HTTPStatus.FORBIDDEN, "token: expected that of this server. Open the address that was printed, token and all"
            )

    def _query(self) -> dict[str, str]:
        try:
            return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True, max_num_fields=20))
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "query: expected at most 20 fields") from None

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif path == "/about":
            self._send_json(self._player().about())
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page. The page is /")

    def _post(self) -> None:
        path, query = urlsplit(self.path).path, self._query()
        if path not in ("/answer", "/cell", "/saved"):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page. The page is /")
        drawing = self.rfile.read(length := self._length())
        if len(drawing) < length:
            raise ConnectionAbortedError("the browser went away")
        player, strengths = self._player(), _strengths(query)
        if path == "/saved":
            png = self._computed(player.saved, drawing, strengths)
            self._send(HTTPStatus.OK, "image/png", png)
        elif path == "/cell":
            self._send_json(self._computed(player.cell, drawing, strengths, *_cell(query)))
        else:
            self._send_json(self._computed(player.answer, drawing, strengths))

    def _player(self) -> Player:
        assert self.server.player is not None
        return self.server.player

    def _computed(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.server.compute.submit(function, *args).result()

    def _length(self) -> int:
        """Bytes of the body."""
        if self.headers.get("Transfer-Encoding") is not None:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "body: expected one with a Content-Length")
        given = self.headers.get_all("Content-Length", [])
        if len(given) != 1 or not re.fullmatch("[0-9]{1,18}", given[0]):
            status = HTTPStatus.BAD_REQUEST if given else HTTPStatus.LENGTH_REQUIRED
            raise _Refused(status, "Content-Length: expected one whole number")
        if int(given[0]) > MOST_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: expected at most {MOST_BYTES:,} bytes, got {int(given[0]):,}"
            )
        return int(given[0])

    def _drain(self) -> None:
        """Read what a refused client still sends, for a while."""
        self.connection.settimeout(1.0)
        left = MOST_DRAINED
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (part := self.rfile.read1(1 << 16)):
                left -= len(part)

    def _send_refusal(self, refusal: _Refused) -> None:
        self._send(refusal.status, "text/plain; charset=utf-8", f"{refusal}\n".encode())

    def _send_json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(value, allow_nan=False).encode("ascii"))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """One answer, in one piece."""
        self._headers_buffer: list[bytes] = []
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))), ("Content-Security-Policy", self.server.policy),
            ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):  # fmt: skip
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        head = b"".join([*self._headers_buffer, b"\r\n"] if self._headers_buffer else [])  # HTTP/0.9 has none
        self._headers_buffer = []
        self.wfile.write(head if self.command == "HEAD" else head + body)


def _policy(page: str) -> str:
    """A content security policy by which the page may run and look as its own text says, and ask this server alone."""

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _strengths(query: dict[str, str]) -> dict[str, float]:
    """The sliders of a request, by name; the player checks them."""
    return {name: _number(text) for name, text in query.items() if name not in ("token", "network", "layer", "cell")}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cell(query: dict[str, str]) -> tuple[int, str, tuple[int, ...]]:
    """The network's index, the layer and the cell of a request."""
    network, cell = query.get("network", ""), query.get("cell", "").split(",")
    if not all(re.fullmatch("[0-9]{1,8}", text) for text in (network, *cell)):
        raise _Refused(HTTPStatus.BAD_REQUEST, "network and cell: expected whole numbers, as in network=0&cell=4,9,12")
    return int(network), query.get("layer", ""), tuple(map(int, cell))
