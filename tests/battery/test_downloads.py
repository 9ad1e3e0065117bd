"""Downloads: whatever a server, a disk or another process does, a right file comes or none, in bounded time.

No other file is touched.
"""

import gzip
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import http_server as web
import pytest
from battery_cases import Battery
from http_server import Handler
from small_mnist import BY_NAME, CHILD, CHILD_PATHS, PACKED, RAW, SMALL_FILES, TRAIN_IMAGES, put

from numbacnn.datasets import mnist
from numbacnn.errors import DataError

TIMEOUT = 0.4  # seconds a mirror may be silent; the other limits are multiples of it
LONGEST_SECONDS = 25  # of one download; the limits allow 8, and the machine may be busy
CANARIES = {
    "notes.txt": b"mine",
    f"{TRAIN_IMAGES}.txt": b"mine, too",
    "train-images-idx3-ubyte (1).gz": b"mine as well",
    ".hidden": b"",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST is four files of a few images, and no test reaches beyond this machine."""
    monkeypatch.setattr(mnist, "FILES", SMALL_FILES)
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[web.Server]:
    with web.serving(BY_NAME) as server:
        yield server


def with_canaries(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CANARIES.items():
        (folder / name).write_bytes(content)
    return folder


def check_folder(folder: Path, *, complete: bool) -> None:
    """The user's files are there, those of MNIST are right, and there is nothing else but the lock."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    found.pop("mnist.lock", None)
    assert found == CANARIES | (BY_NAME if complete else {})


def download(folder: Path, *mirrors: str) -> str:
    """The message of a DataError, or "" after a download; in bounded time."""
    start = time.perf_counter()
    try:
        mnist.download(folder, mirrors=mirrors, timeout=TIMEOUT)
    except DataError as error:
        message = str(error)
    else:
        message = ""
    assert time.perf_counter() - start < LONGEST_SECONDS
    check_folder(folder, complete=not message)
    return message


# --- servers --------------------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: LENGTH\r\n"


def in_chunks(handler: Handler, body: bytes) -> None:
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:100], body[100:]))
    handler.wfile.write(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    handler.close_connection = True


def chunks_without_end(handler: Handler, body: bytes) -> None:
    handler.wfile.write(OK + b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body + b"\r\n")
    handler.close_connection = True


def endless_chunks(handler: Handler, body: bytes) -> None:
    handler.wfile.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")


def endless_continue(handler: Handler, body: bytes) -> None:
    for _ in range(100_000):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.001)


def one_bit_flipped(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[:-20] + bytes([body[-20] ^ 1]) + body[-19:])


def another_file(handler: Handler, body: bytes) -> None:
    handler.reply(200, PACKED["test_labels" if body != PACKED["test_labels"] else "test_images"])


def packed_once_more(handler: Handler, body: bytes) -> None:
    handler.reply(200, gzip.compress(body), Content_Encoding="gzip")


def unpacked(handler: Handler, body: bytes) -> None:
    handler.reply(200, gzip.decompress(body))


def part_that_nobody_asked_for(handler: Handler, body: bytes) -> None:
    handler.reply(206, body[:100], Content_Range=f"bytes 0-99/{len(body)}")


def whole_called_a_part(handler: Handler, body: bytes) -> None:
    handler.reply(206, body, Content_Range=f"bytes 5-{len(body) + 4}/{len(body) * 2}")


def chain_of_redirects(handler: Handler, body: bytes) -> None:
    handler.reply(302, b"", Location=f"{handler.path}x")


def closed_at_once(handler: Handler, body: bytes) -> None:
    handler.close_connection = True


def reset_at_once(handler: Handler, body: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def silent_after_a_part(handler: Handler, body: bytes) -> None:
    handler.reply(200, body[:200], length=len(body))
    handler.wfile.flush()
    time.sleep(1.5)


def dripping_status(handler: Handler, body: bytes) -> None:
    web.drip(handler.connection, OK * 20)


COMES, FAILS = True, False

SERVERS: dict[str, tuple[web.Behaviour, bool]] = {
    "good": (web.good, COMES),
    "status 401": (web.status(401), FAILS),
    "status 403": (web.status(403), FAILS),
    "status 404": (web.status(404), FAILS),
    "status 407": (web.status(407), FAILS),
    "status 410": (web.status(410), FAILS),
    "status 429, retry in an hour": (lambda handler, body: handler.reply(429, b"", Retry_After="3600"), FAILS),
    "status 500": (web.status(500), FAILS),
    "status 503, retry in an hour": (lambda handler, body: handler.reply(503, b"", Retry_After="3600"), FAILS),
    "status 204": (web.raw(b"HTTP/1.1 204 No Content\r\n\r\n", b""), FAILS),
    "status 304": (web.raw(b"HTTP/1.1 304 Not Modified\r\n\r\n", b""), FAILS),
    "status 999": (web.raw(b"HTTP/1.1 999 Odd\r\nContent-Length: LENGTH\r\n\r\n"), COMES),
    "a web page": (web.web_page, FAILS),
    "a web page that says it is a file": (lambda handler, body: handler.reply(200, b"<html>Log in</html>"), FAILS),
    "wrong bytes of the right size": (web.wrong_bytes, FAILS),
    "one bit flipped": (one_bit_flipped, FAILS),
    "another file": (another_file, FAILS),
    "the unpacked file": (unpacked, FAILS),
    "an empty file": (lambda handler, body: handler.reply(200, b""), FAILS),
    "too short": (web.too_short, FAILS),
    "cut off": (web.cut_off, FAILS),
    "too long": (web.too_long, FAILS),
    "endless": (web.endless, FAILS),
    "a length that is too small": (lambda handler, body: handler.reply(200, body, length=100), FAILS),
    "a length of -1": (web.raw(OK + b"Content-Length: -1\r\n\r\n"), COMES),
    "a length that is a word": (web.raw(OK + b"Content-Length: many\r\n\r\n"), COMES),
    "two lengths": (web.raw(SIZED + b"Content-Length: 7\r\n\r\n"), FAILS),
    "no length": (web.raw(OK + b"\r\n"), COMES),
    "chunks": (in_chunks, COMES),
    "chunks without end": (chunks_without_end, FAILS),
    "chunks of nonsense": (web.raw(OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), FAILS),
    "endless chunks": (endless_chunks, FAILS),
    "labelled as gzip": (web.says_gzip_encoded, COMES),
    "packed once more": (packed_once_more, FAILS),
    "labelled as an unknown encoding": (lambda handler, body: handler.reply(200, body, Content_Encoding="zpaq"), COMES),
    "a part that nobody asked for": (part_that_nobody_asked_for, FAILS),
    "the whole called a part": (whole_called_a_part, COMES),
    "redirect to a file": (web.redirect("file:///etc/passwd"), FAILS),
    "redirect to ftp": (web.redirect("ftp://127.0.0.1/a"), FAILS),
    "redirect without a target": (web.status(302), FAILS),
    "redirect to a closed port": (web.redirect("http://127.0.0.1:9/"), FAILS),
    "redirect to no address": (web.redirect("http://[::1/"), FAILS),
    "redirect to a port that is none": (web.redirect("http://127.0.0.1:99999/"), FAILS),
    "redirect to a name that is none": (web.redirect("http://" + "a" * 300 + "/"), FAILS),
    "redirect in a circle": (web.redirect_in_a_circle, FAILS),
    "redirect without end": (chain_of_redirects, FAILS),
    "reset in the file": (web.reset, FAILS),
    "reset at once": (reset_at_once, FAILS),
    "closed at once": (closed_at_once, FAILS),
    "no http": (web.raw(b"SSH-2.0-OpenSSH_9.6\r\n", b""), FAILS),
    "the file without a header": (web.raw(b""), FAILS),
    "a status line of a megabyte": (web.raw(b"HTTP/1.1 200 " + b"x" * (1 << 20) + b"\r\n\r\n"), FAILS),
    "a header of a megabyte": (web.raw(SIZED + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n"), FAILS),
    "10,000 headers": (web.raw(SIZED + b"X: y\r\n" * 10_000 + b"\r\n"), FAILS),
    "headers that are no text": (web.raw(SIZED + b"X: \xff\xfe\0\x1b[31m\r\n\r\n"), COMES),
    "escape sequences in the reason": (web.raw(b"HTTP/1.1 404 \x1b[31mred\x07\r\nContent-Length: 0\r\n\r\n", b""), FAILS),
    "silent": (web.silent, FAILS),
    "silent after a part": (silent_after_a_part, FAILS),
    "endless continue": (endless_continue, FAILS),
    "dripping status": (dripping_status, FAILS),
    "dripping header": (web.dripping_headers, FAILS),
    "dripping file": (web.dripping, FAILS),
    "dripping chunk length": (web.dripping_chunk_length, FAILS),
    "2 KiB a second": (web.two_kib_a_second, FAILS),
}  # fmt: skip
SLOW = {name for name in SERVERS if name.startswith(("silent", "dripping", "2 KiB", "endless"))}


def test_servers_that_misbehave(battery: Battery, server: web.Server, tmp_path: Path) -> None:
    names = sorted(SERVERS, key=lambda name: name in SLOW)
    for case in battery("servers that misbehave", smoke=len(names) - len(SLOW), whole=len(names)):
        with case:
            name = names[case.index]
            behaviour, comes = SERVERS[name]
            bad, good = server.mirror(f"bad{case.index}", behaviour), server.mirror("good", web.good)
            message = download(with_canaries(tmp_path / f"alone{case.index}"), bad)
            assert (message == "") == comes, f"{name}: {message}"
            assert comes or bad + TRAIN_IMAGES in message
            assert len(message) < 2000
            assert download(with_canaries(tmp_path / f"both{case.index}"), bad, good) == "", name


def test_mirrors_are_tried_until_one_is_right(battery: Battery, server: web.Server, tmp_path: Path) -> None:
    """Four bad mirrors, in an order of their own for each case, before or behind the good one."""
    quick = sorted(name for name, (_, comes) in SERVERS.items() if not comes and name not in SLOW)
    for case in battery("orders of mirrors", smoke=4, whole=60):
        with case:
            random = case.random
            chosen = random.choice(quick, 4, replace=False).tolist()
            place = int(random.integers(5))
            chosen.insert(place, "good")
            mirrors = [server.mirror(f"{case.index}-{n}", SERVERS[name][0]) for n, name in enumerate(chosen)]
            before = server.requests.total()
            assert download(with_canaries(tmp_path / str(case.index)), "http://127.0.0.1:9/", *mirrors) == "", chosen
            redirects = {"redirect in a circle", "redirect without end", "redirect to a closed port"}
            if not redirects & set(chosen[:place]):
                assert server.requests.total() - before == place + 4, "each bad mirror is asked once, the good one for each file"


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate for 127.0.0.1 that nobody has signed: the server's side, and its file."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl, which makes the certificate")
    key, path = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return context, path


def test_encrypted_mirrors(server: web.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody signed is refused. A redirect to http is followed: the checksum decides."""
    tls, path = certificate(tmp_path)
    good = server.mirror("good", web.good)
    with web.serving(BY_NAME, tls) as encrypted:
        secure = encrypted.mirror("secure", web.good)
        assert "certificate verify failed" in download(with_canaries(tmp_path / "a"), secure)
        to_secure = server.mirror("to-secure", lambda handler, body: handler.reply(302, b"", Location=secure + handler.path[-5:]))
        assert "certificate verify failed" in download(with_canaries(tmp_path / "b"), to_secure)
        assert download(with_canaries(tmp_path / "c"), secure, good) == ""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        assert download(with_canaries(tmp_path / "d"), secure) == ""

        def to_http(handler: Handler, body: bytes) -> None:
            handler.reply(302, b"", Location=good + handler.path.rpartition("/")[2])

        assert download(with_canaries(tmp_path / "e"), encrypted.mirror("to-http", to_http)) == ""
        assert "too slow" in download(with_canaries(tmp_path / "f"), encrypted.mirror("slow", web.dripping_headers))


def no_encryption(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 This is http\r\n\r\n")


def dripping_handshake(connection: socket.socket) -> None:
    web.drip(connection, b"\x16\x03\x03\x3f\xff" + bytes(200))


def taking_no_request(connection: socket.socket) -> None:
    time.sleep(2)


@pytest.mark.parametrize("answer", [no_encryption, dripping_handshake, taking_no_request])
def test_a_server_that_does_not_come_to_encryption_is_given_up(answer: Callable[[socket.socket], None], tmp_path: Path) -> None:
    with web.answering(answer) as port:
        assert f"https://127.0.0.1:{port}/" in download(with_canaries(tmp_path / "a"), f"https://127.0.0.1:{port}/")


# --- folders and other processes --------------------------------------------------------------------------------------------------


def test_a_folder_that_is_a_link_is_filled_where_it_leads(server: web.Server, tmp_path: Path) -> None:
    real = with_canaries(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    assert download(tmp_path / "link", server.mirror("good", web.good)) == ""
    assert (tmp_path / "link").is_symlink()
    check_folder(real, complete=True)


def test_links_to_nowhere_at_the_places_of_the_files_are_kept(server: web.Server, tmp_path: Path) -> None:
    folder = with_canaries(tmp_path / "data")
    (folder / TRAIN_IMAGES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=TRAIN_IMAGES):
        mnist.download(folder, mirrors=[server.mirror("good", web.good)])
    assert (folder / TRAIN_IMAGES).is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("what", ["a file", "a link to a file", "a link to a folder", "a folder"])
def test_what_stands_in_the_place_of_the_lock_is_not_lost(what: str, server: web.Server, tmp_path: Path) -> None:
    folder, other = with_canaries(tmp_path / "data"), tmp_path / "other"
    path = folder / "mnist.lock"
    if what.endswith("folder"):
        other.mkdir()
        (other / "file").write_bytes(b"mine")
    else:
        other.write_bytes(b"mine")
    path.symlink_to(other) if what.startswith("a link") else other.rename(path)
    mine = path if path.is_file() else path / "file"
    with pytest.raises(DataError, match=r"--data-dir|Move it away"):
        mnist.download(folder, mirrors=[server.mirror("good", web.good)])
    assert mine.read_bytes() == b"mine"
    assert not (folder / TRAIN_IMAGES).exists()


def test_a_cached_file_that_was_tampered_with_is_not_used(
    server: web.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    for key, file in SMALL_FILES.items():
        folder = put(tmp_path / key)
        content = gzip.compress(RAW[key][:-1] + bytes([RAW[key][-1] ^ 1]))
        (folder / file.name).write_bytes(content)
        with pytest.raises(DataError, match=r"sha256.*an intact file of other data"):
            mnist.load(folder)
        assert (folder / file.name).read_bytes() == content
    assert not server.requests


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_used_and_never_written(server: web.Server, tmp_path: Path) -> None:
    folder = put(tmp_path / "complete")
    folder.chmod(0o500)
    mnist.load(folder)
    other = put(tmp_path / "incomplete", only=["train_images"])
    other.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        mnist.download(other, mirrors=[server.mirror("good", web.good)])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills a process as Linux does")
def test_a_download_that_was_killed_is_made_again(battery: Battery, server: web.Server, tmp_path: Path) -> None:
    """Killed at any moment: what lies under a right name is right, and the next download completes."""
    environment = dict(os.environ, **{mnist.MIRRORS_VARIABLE: server.mirror("slow", web.slow_but_good)})
    good = server.mirror("good", web.good)
    for case in battery("downloads killed", smoke=1, whole=20):
        with case:
            folder = with_canaries(tmp_path / str(case.index))
            command = [sys.executable, "-c", CHILD, str(folder), *CHILD_PATHS]
            child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            time.sleep(case.random.uniform(0.3, 2.0))
            child.kill()
            child.wait()
            for path in folder.glob("*-ubyte.gz"):
                assert path.read_bytes() == BY_NAME[path.name]
            assert download(folder, good) == ""


def test_eight_processes_at_once_download_each_file_once(battery: Battery, server: web.Server, tmp_path: Path) -> None:
    if not battery.whole:
        pytest.skip("part of the whole battery; tests/datasets has three processes")
    for case in battery("eight processes at once", smoke=4, whole=4):
        with case:
            folder = with_canaries(tmp_path / str(case.index))
            mirror = f"slow{case.index}"
            environment = dict(os.environ, **{mnist.MIRRORS_VARIABLE: server.mirror(mirror, web.slow_but_good)})
            command = [sys.executable, "-c", CHILD, str(folder), *CHILD_PATHS]
            children = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(8)]
            for child in children:
                _, errors = child.communicate(timeout=120)
                assert child.returncode == 0, errors
            check_folder(folder, complete=True)
            assert [count for path, count in server.requests.items() if path.startswith(f"/{mirror}/")] == [1] * 4
