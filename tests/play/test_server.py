"""The server answers one browser on this machine, refuses everybody else, and outlives whatever is sent to it."""

import base64
import hashlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import players
import pytest
from players import request

from numbacnn.errors import DeviceError
from numbacnn.play import server as server_module
from numbacnn.play.player import Player
from numbacnn.play.server import ADDRESS, MOST_BYTES, MOST_CONNECTIONS, PlayServer


@pytest.fixture(scope="module")
def player() -> Player:
    return players.player()


@pytest.fixture(scope="module")
def server(player: Player) -> Iterator[PlayServer]:
    with players.serving(player) as server:
        yield server


@pytest.fixture(autouse=True)
def still_alive(server: PlayServer, player: Player) -> Iterator[None]:
    """After each test the server answers as ever, and has nothing to report."""
    yield
    status, found = request(server, "POST", "/answer", players.seven(player))
    assert status == 200
    assert found["networks"][0]["label"] in "0123456789"
    assert server.reports == []  # type: ignore[attr-defined]


def raw(server: PlayServer, data: bytes) -> bytes:
    """What comes back for these bytes, until the server closes the connection."""
    with socket.create_connection((ADDRESS, server.server_port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        with suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)


def test_the_address_that_is_printed_shows_the_page(server: PlayServer) -> None:
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.server_port}/\?token=[\w-]{{32}}", server.url)
    connection = http.client.HTTPConnection(ADDRESS, server.server_port)
    connection.request("GET", server.url.partition(str(server.server_port))[2])
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read() == server.page
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    connection.close()


def test_the_page_may_run_its_own_script_alone_and_ask_this_server_alone(server: PlayServer) -> None:
    rules = dict(part.split(" ", 1) for part in server.policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"
    page = server.page.decode()
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_names_no_other_address(server: PlayServer) -> None:
    page = server.page.decode()
    assert not re.findall(r"(?:https?:)?//[a-z]|@import|url\(", re.sub(r"^\s*//.*$|\s{2}//.*$", "", page, flags=re.MULTILINE))
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:,)", page)
    assert not re.findall(r"\son[a-z]+=|\sstyle=", page), "the policy forbids them"


def test_only_this_machine_can_reach_it(server: PlayServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/about", "/answer", "/cell", "/saved", "/none"])
@pytest.mark.parametrize("token", ["", "x", "ä", "x" * 32, "right token with an end"])
def test_a_wrong_token_is_403(server: PlayServer, player: Player, path: str, token: str) -> None:
    token = f"{server.token}x" if token.startswith("right") else token
    method, body = ("POST", players.seven(player)) if path in ("/answer", "/cell", "/saved") else ("GET", None)
    given = {"X_Token": token.encode().decode("latin-1")}
    status, text = request(server, method, path, body, **given)
    assert (status, text[:6]) == (403, b"token:")
    assert server.token.encode() not in text


def test_two_servers_have_two_tokens(server: PlayServer, player: Player) -> None:
    with players.serving(player) as other:
        assert other.token != server.token
        assert request(other, "GET", "/about", X_Token=server.token)[0] == 403


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1", "127.0.0.1:1", "evil.127.0.0.1:PORT", "127.0.0.1:PORT.evil", "", "[::1]:PORT"]
)
def test_a_wrong_host_is_403(server: PlayServer, host: str) -> None:
    status, text = request(server, "GET", "/about", Host=host.replace("PORT", str(server.server_port)))
    assert (status, text[:5]) == (403, b"Host:")


def test_localhost_is_this_server_too(server: PlayServer) -> None:
    assert request(server, "GET", "/about", Host=f"localhost:{server.server_port}")[0] == 200


def test_no_host_and_two_hosts_are_403(server: PlayServer) -> None:
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    for hosts in ("", host * 2):
        head = f"GET /about HTTP/1.1\r\n{hosts}X-Token: {server.token}\r\n\r\n"
        assert raw(server, head.encode()).startswith(b"HTTP/1.1 403 ")
    assert b"Host: expected" in raw(server, f"GET /about?token={server.token}\r\n\r\n".encode()), "HTTP/0.9"


@pytest.mark.parametrize("origin", ["http://example.org", "null", "https://127.0.0.1:PORT", "http://127.0.0.1:1"])
def test_a_request_of_another_site_is_403(server: PlayServer, player: Player, origin: str) -> None:
    origin = origin.replace("PORT", str(server.server_port))
    status, text = request(server, "POST", "/answer", players.seven(player), Origin=origin)
    assert (status, text[:7]) == (403, b"Origin:")
    own = f"http://127.0.0.1:{server.server_port}"
    assert request(server, "POST", "/answer", players.seven(player), Origin=own)[0] == 200


def test_a_post_of_100_megabytes_is_413(server: PlayServer) -> None:
    status, text = request(server, "POST", "/answer", bytes(100_000_000))
    assert status == 413
    assert text == f"body: expected at most {MOST_BYTES:,} bytes, got 100,000,000\n".encode()


def test_a_post_of_100_megabytes_that_asks_first_is_413_before_it_is_sent(server: PlayServer) -> None:
    head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nX-Token: {server.token}\r\n"
    with socket.create_connection((ADDRESS, server.server_port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_post_that_asks_first_and_may_come_is_answered(server: PlayServer, player: Player) -> None:
    head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nX-Token: {server.token}\r\nConnection: close\r\n"
    drawing = players.seven(player)
    found = raw(server, f"{head}Content-Length: {len(drawing)}\r\nExpect: 100-continue\r\n\r\n".encode() + drawing)
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", 411), ("Transfer-Encoding: chunked\r\n", 411), ("Content-Length: -1\r\n", 400), ("Content-Length: x\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400), ("Content-Length: 9999999999999999999999\r\n", 400),
        ("Content-Length: 999999999999\r\n", 413),
    ],
)  # fmt: skip
def test_a_body_of_unknown_or_impossible_length_is_refused(server: PlayServer, lines: str, status: int) -> None:
    head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nX-Token: {server.token}\r\n"
    assert raw(server, f"{head}{lines}\r\n5\r\nhello\r\n0\r\n\r\n".encode()).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/none", 404), ("GET", "/../../etc/passwd", 404), ("GET", "/answer", 404), ("POST", "/", 404), ("POST", "/none", 404),
        ("PUT", "/", 501), ("DELETE", "/about", 501), ("POST", "/cell?network=x&layer=conv1&cell=0", 400),
        ("POST", "/cell?network=0&layer=conv1", 400), ("POST", "/cell?network=0&layer=conv1&cell=-1,0,0", 400),
        ("POST", f"/answer?{'&'.join(f'a{n}=1' for n in range(50))}", 400), ("GET", "/about?" + "a" * 70_000, 414),
    ],
)  # fmt: skip
def test_a_request_for_what_is_not_there_is_refused(
    server: PlayServer, player: Player, method: str, path: str, status: int
) -> None:
    assert request(server, method, path, players.seven(player) if method == "POST" else None)[0] == status


def test_head_is_answered_without_a_body(server: PlayServer) -> None:
    assert request(server, "HEAD", "/") == (200, b"")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("rotation=x", "rotation: expected a number from -90 to 90, got nan"), ("light=9", "light: expected"),
        ("size=inf", "size: expected"),
        ("colour=1", "slider: expected one of"),
    ],
)  # fmt: skip
def test_a_slider_that_cannot_be_is_an_answer_in_words(server: PlayServer, player: Player, query: str, message: str) -> None:
    status, found = request(server, "POST", f"/answer?{query}", players.seven(player))
    assert status == 200
    assert found["error"].startswith(message)


def test_what_is_no_drawing_is_an_answer_in_words(server: PlayServer) -> None:
    for body, message in (
        (b"", "drawing: expected"),
        (b"x" * 99, "drawing: expected"),
        (bytes(280 * 280), "drawing: expected a digit"),
    ):
        status, found = request(server, "POST", "/answer", body)
        assert status == 200
        assert found["error"].startswith(message)
        assert "error" in request(server, "POST", "/saved", body)[1]


def test_a_cell_is_told_and_one_that_is_not_there_is_an_answer_in_words(server: PlayServer, player: Player) -> None:
    drawing = players.seven(player)
    status, found = request(server, "POST", "/cell?network=0&layer=conv2&cell=2,1,3&rotation=20", drawing)
    assert (status, found["cell"], found["kind"]) == (200, [2, 1, 3], "sum")
    assert found == request(server, "POST", "/cell?network=0&layer=conv2&cell=2,1,3&rotation=20", drawing)[1]
    assert "conv2: expected a cell" in request(server, "POST", "/cell?network=0&layer=conv2&cell=99,1,3", drawing)[1]["error"]


def test_a_saved_picture_is_a_png(server: PlayServer, player: Player) -> None:
    status, png = request(server, "POST", "/saved?size=0.7", players.seven(player))
    assert status == 200
    assert png == player.saved(players.seven(player), {"size": 0.7})
    assert png.startswith(b"\x89PNG")


def test_many_questions_at_once_have_the_answers_of_one_alone(server: PlayServer, player: Player) -> None:
    drawing = players.seven(player)
    angles = [float(angle) for angle in range(-60, 60, 10)]
    alone = [request(server, "POST", f"/answer?rotation={angle}", drawing)[1] for angle in angles]
    with ThreadPoolExecutor(len(angles)) as threads:
        found = threads.map(lambda angle: request(server, "POST", f"/answer?rotation={angle}", drawing)[1], angles)
    assert list(found) == alone


def test_several_questions_come_over_one_connection(server: PlayServer, player: Player) -> None:
    connection = http.client.HTTPConnection(ADDRESS, server.server_port)
    for _ in range(3):
        connection.request("POST", "/answer", players.seven(player), {"X-Token": server.token})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read())) == (200, int(answer.getheader("Content-Length", "")))
    connection.close()


def test_what_is_left_of_a_refused_request_is_not_taken_for_another(server: PlayServer) -> None:
    """The body of a refused POST looks like a request of its own."""
    inner = f"GET /about HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nX-Token: {server.token}\r\n\r\n"
    head = f"POST /answer HTTP/1.1\r\nHost: example.org\r\nContent-Length: {len(inner)}\r\n\r\n"
    found = raw(server, (head + inner).encode())
    assert found.count(b"HTTP/1.1 ") == 1
    assert found.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHos", b"\x00\xff\x16\x03\x01", b"POST /answer HTTP/9.9\r\n\r\n"])
def test_a_browser_that_goes_away_in_its_request_is_forgotten(server: PlayServer, sent: bytes) -> None:
    with socket.create_connection((ADDRESS, server.server_port)) as connection:
        connection.sendall(sent)


def test_a_browser_that_goes_away_in_its_drawing_or_before_the_answer_is_forgotten(server: PlayServer, player: Player) -> None:
    drawing = players.seven(player)
    head = (
        f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nX-Token: {server.token}\r\n"
        f"Content-Length: {len(drawing)}\r\n\r\n"
    )
    for body in (drawing[:1000], drawing):
        connection = socket.create_connection((ADDRESS, server.server_port))
        connection.sendall(head.encode() + body)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset in place of a farewell
        connection.close()


def test_a_connection_that_says_nothing_is_closed(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 0.2)
    with players.serving(player) as other, socket.create_connection((ADDRESS, other.server_port), timeout=20) as connection:
        assert connection.recv(10) == b""


def test_more_connections_than_there_is_room_for_are_told_to_come_again(player: Player) -> None:
    with players.serving(player) as other:
        idle = [socket.create_connection((ADDRESS, other.server_port), timeout=20) for _ in range(MOST_CONNECTIONS)]
        deadline = time.monotonic() + 20
        while other._slots._value and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.01)
        with socket.create_connection((ADDRESS, other.server_port), timeout=20) as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.1 503 ")
        for connection in idle:
            connection.close()
        while other._slots._value < MOST_CONNECTIONS and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.01)
        assert request(other, "GET", "/about")[0] == 200


def test_a_port_in_use_is_refused(server: PlayServer) -> None:
    with pytest.raises(DeviceError, match=f"port {server.server_port}: expected one that is free, got: .*Give another --port"):
        PlayServer(server.server_port, server.compute)


def test_a_fault_of_the_program_is_reported_and_the_next_request_is_answered(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    with players.serving(player) as other:
        with monkeypatch.context() as patch:
            patch.setattr(Player, "answer", lambda *given: 1 / 0)
            assert request(other, "POST", "/answer", b"") == (500, b"an error of this program\n")
        assert other.reports == ["a request failed: ZeroDivisionError: division by zero"]  # type: ignore[attr-defined]
        assert request(other, "POST", "/answer", players.seven(player))[0] == 200


def test_training_images_are_read_between_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    player, calls, is_done = players.player(), [], threading.Event()

    def read_more() -> bool:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            is_done.set()
        return len(calls) < 3

    monkeypatch.setattr(player, "read_more", read_more)
    with players.serving(player) as other:
        other.read_training_images()
        assert is_done.wait(20)
        assert request(other, "POST", "/answer", players.seven(player))[0] == 200
    assert len(calls) == 3
    assert len(set(calls)) == 1, "the thread that computes"
