"""The bytes of one file from one mirror: bounded in size and in time, and hashed while they are received.

Importing this costs 60 ms, which a program pays only where there is something to download.
"""

import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

_CHUNK_BYTES = 1 << 16
_START_TIMEOUTS = 3  # the file must have begun by then, in timeouts: redirects and headers included
_GRACE_TIMEOUTS = 10
_LEAST_RATES = ((1, 1 << 10), (_GRACE_TIMEOUTS, 4 << 10))
"""Mean rates a mirror must keep, in bytes per second, each after a time in timeouts. The last bounds the time of a whole file."""


class MirrorError(Exception):
    """A mirror does not deliver the file: the next one is tried."""


def receive(url: str, size: int, sha256: str, timeout: float, progress: Callable[[int], None]) -> Generator[bytes, None, None]:
    """The parts of a file as they arrive; it is complete and right if they come to an end.

    Args:
        url: the file's address.
        size, sha256: its bytes and checksum.
        timeout: seconds the mirror may be silent; the other limits of time are multiples of it.
        progress: called with the bytes received, as they arrive.
    Raises:
        MirrorError: the mirror sends anything else, or too slowly.
    """
    whole = _GRACE_TIMEOUTS * timeout + size / _LEAST_RATES[-1][1]
    try:
        with closing(_Connections()) as connections, _session(connections) as session, ExitStack() as stack:
            with connections.limited(_START_TIMEOUTS * timeout, "expected the file to begin"):
                response = stack.enter_context(_get(session, url, timeout))
            with connections.limited(whole, "expected the file"):
                _check_answer(response)
                yield from _checked(response.raw, size, sha256, timeout, progress)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise MirrorError(_reason(error)) from error


def _get(session: requests.Session, url: str, timeout: float) -> requests.Response:
    # The file itself may be gzip: a server must not wrap or unwrap it on the way.
    headers = {"Accept-Encoding": "identity"}
    return session.get(url, stream=True, timeout=timeout, headers=headers, hooks={"response": _drop_redirects_body})


def _drop_redirects_body(response: requests.Response, **_: Any) -> None:
    """Keep requests from reading a redirect's body, which may have no end."""
    if response.is_redirect:
        response.close()


def _check_answer(response: requests.Response) -> None:
    response.raise_for_status()
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise MirrorError("expected the file, got a web page: is there a login page in the way?")


def _checked(
    body: urllib3.BaseHTTPResponse, size: int, sha256: str, timeout: float, progress: Callable[[int], None]
) -> Iterator[bytes]:
    """The parts of the body, whose size and checksum are compared with those expected."""
    digest = hashlib.sha256()
    started = time.monotonic()
    received = 0
    # read1 returns the bytes that have come; reading a fixed amount could wait for hours on a server that drips.
    while part := body.read1(_CHUNK_BYTES, decode_content=False):
        received += len(part)
        if received > size:
            raise MirrorError(f"expected {size} bytes, got more")
        _check_rate(received, time.monotonic() - started, timeout)
        digest.update(part)
        yield part
        progress(received)
    if received < size:
        raise MirrorError(f"expected {size} bytes, got {received}")
    if digest.hexdigest() != sha256:
        raise MirrorError(f"expected sha256 {sha256}, got {digest.hexdigest()}")


def _check_rate(received: int, seconds: float, timeout: float) -> None:
    for timeouts, rate in _LEAST_RATES:
        if seconds > timeouts * timeout and received < seconds * rate:
            raise MirrorError(f"too slow: expected {rate // 1024} KiB/s, got {received} bytes in {seconds:.0f} s")


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line: requests and urllib3 wrap an error several times over."""
    while isinstance(inner := getattr(error, "reason", None) or (error.args[0] if error.args else None), BaseException):
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\w*(Connection|Pool)\(.*?\): ", "", text).split(" for url: ")[0]
    return text if len(text) <= 200 else text[:197] + "..."


class _Connections:
    """The sockets of one download, which are shut down when its time is over.

    A socket's own timeout begins anew with every byte: a server that drips headers could hold it for hours.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_over = False

    def add(self, connection: socket.socket) -> None:
        """Watch a connection; the duplicate outlives the wrapping of the original into TLS."""
        self._sockets.append(connection.dup())
        if self._is_over:
            self._shut_down()

    @contextmanager
    def limited(self, seconds: float, expected: str) -> Iterator[None]:
        """Bound the time of a block, whose reads find an end of data when it is over; MirrorError then."""
        timer = threading.Timer(seconds, self._shut_down)
        timer.daemon = True
        timer.start()
        too_slow = MirrorError(f"too slow: {expected} within {seconds:.0f} s")
        try:
            yield
        except Exception as error:
            if self._is_over:
                raise too_slow from error
            raise
        finally:
            timer.cancel()
        if self._is_over:  # headers that end early are no error
            raise too_slow

    def _shut_down(self) -> None:
        self._is_over = True
        for each in list(self._sockets):
            with suppress(OSError):  # the other side may have been faster
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@contextmanager
def _session(connections: _Connections) -> Iterator[requests.Session]:
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _WatchedAdapter(connections.add))
        yield session


class _WatchedAdapter(HTTPAdapter):
    """Shows every new socket to a function, before TLS, a proxy or a header is waited for."""

    def __init__(self, watch: Callable[[socket.socket], None]) -> None:
        self._watch = watch
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch_pools_of(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._watch_pools_of(manager)
        return manager

    def _watch_pools_of(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {scheme: _watched(pool, self._watch) for scheme, pool in pools.items()}


def _watched(pool: Any, watch: Callable[[socket.socket], None]) -> Any:
    """The pool, with connections that show a function the socket which ``connect`` stores in their ``sock``."""

    class Connection(pool.ConnectionCls):
        @property
        def sock(self) -> Any:
            return self._sock

        @sock.setter
        def sock(self, value: Any) -> None:
            self._sock = value
            if isinstance(value, socket.socket) and not isinstance(
                value, ssl.SSLSocket
            ):  # else it was shown before it was wrapped
                watch(value)

    class Pool(pool):
        ConnectionCls = Connection

    return Pool
