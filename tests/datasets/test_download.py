"""Downloads: complete and right, or not there at all; whatever a mirror does, the next one is tried."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import http_server as web
import pytest
from filelock import FileLock
from small_mnist import CHILD, CHILD_PATHS, PACKED, RAW, SMALL_FILES, TRAIN_IMAGES, assert_complete, names, put

from numbacnn import files
from numbacnn.datasets import download, mnist
from numbacnn.errors import DataError


def test_all_files_are_downloaded_with_progress_and_a_notice(server, tmp_path):
    seen, notices = [], []
    folder = mnist.download(
        tmp_path / "new" / "data",
        mirrors=[server.mirror("good", web.good)],
        progress=lambda *args: seen.append(args),
        notice=notices.append,
    )
    assert_complete(folder)
    assert {(file.name, file.bytes, file.bytes) for file in SMALL_FILES.values()} <= set(seen)
    assert len(notices) == 1
    assert "4 files" in notices[0]
    assert (folder / TRAIN_IMAGES).stat().st_mode & 0o777 == 0o644


def test_valid_files_are_never_downloaded_again(server, tmp_path):
    mirror = server.mirror("good", web.good)
    put(tmp_path, only=["train_images"])
    put(tmp_path / "MNIST/raw", packed=False, only=["test_images"])
    mnist.download(tmp_path, mirrors=[mirror])
    mnist.download(tmp_path, mirrors=[mirror])
    assert sorted(server.requests) == ["/good/t10k-labels-idx1-ubyte.gz", "/good/train-labels-idx1-ubyte.gz"]
    assert sum(server.requests.values()) == 2
    mnist.load(tmp_path, allow_download=False)


def test_load_downloads_what_is_missing_and_says_so(server, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good).rstrip("/"))
    put(tmp_path, only=["train_images", "train_labels"])
    notices = []
    mnist.load(tmp_path, notice=notices.append)
    assert "incomplete: t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz missing" in notices[0]
    assert_complete(tmp_path)


def test_a_damaged_download_is_replaced_and_the_user_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
    put(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(PACKED["train_images"][:-10])
    notices = []
    images = mnist.load(tmp_path, notice=notices.append)[0]
    assert images.tobytes() == RAW["train_images"][16:]
    assert any(TRAIN_IMAGES in notice and "damaged" in notice for notice in notices)
    assert sum(server.requests.values()) == 1
    (tmp_path / f"{TRAIN_IMAGES}.damaged").unlink()
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (web.status(403), "403"),
        (web.status(404), "404"),
        (web.status(500), "500"),
        (web.wrong_bytes, "expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        (web.too_short, r"expected \d+ bytes, got \d+"),
        (web.cut_off, "IncompleteRead|bytes read"),
        (web.too_long, r"expected \d+ bytes, got more"),
        (web.endless, r"expected \d+ bytes, got more"),
        (web.web_page, "login page"),
        (web.reset, "reset"),
        (web.silent, "timed out"),
        (web.dripping, r"too slow: expected 1 KiB/s, got \d+ bytes"),
        (web.dripping_headers, "too slow: expected the file to begin within 1 s"),
        (web.redirect("file:///etc/passwd"), "No connection adapters"),
        (web.redirect_in_a_circle, "redirects"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_mirror_is_passed_over_and_named_when_it_is_the_only_one(server, tmp_path, behaviour, reason):
    bad = server.mirror("bad", behaviour)
    with pytest.raises(DataError) as caught:
        mnist.download(tmp_path / "alone", mirrors=[bad], timeout=0.4)
    message = str(caught.value)
    assert re.search(reason, message), message
    assert bad + TRAIN_IMAGES in message
    assert names(tmp_path / "alone") == []  # neither a wrong file nor part of one

    folder = mnist.download(tmp_path / "both", mirrors=[bad, server.mirror("good", web.good)], timeout=0.4)
    assert_complete(folder)
    assert server.requests["/bad/" + SMALL_FILES["test_labels"].name] == 0  # the mirror that worked is asked first from then on


def test_a_server_that_labels_the_file_as_gzip_encoded_is_understood(server, tmp_path):
    assert_complete(mnist.download(tmp_path, mirrors=[server.mirror("apache", web.says_gzip_encoded)]))


def test_a_redirect_is_followed_without_reading_its_body(server, tmp_path):
    """It was read to its end, which an answer need not have."""
    good = server.mirror("good", web.good)
    mirror = server.mirror("moved", web.redirect_with_endless_body(good))
    assert_complete(mnist.download(tmp_path, mirrors=[mirror], timeout=0.4))


def test_a_file_that_would_come_at_2_kib_a_second_is_given_up(server, tmp_path):
    with pytest.raises(DataError, match=r"too slow: expected 4 KiB/s, got \d+ bytes"):
        mnist.download(tmp_path, mirrors=[server.mirror("slow", web.two_kib_a_second)], timeout=0.1)


def test_a_body_whose_first_bytes_never_come_is_given_up(server, tmp_path):
    """A chunk's length may be dripped, too: no byte of the file comes, and the socket is never silent."""
    with pytest.raises(DataError, match="too slow: expected the file within 3 s"):
        mnist.download(tmp_path, mirrors=[server.mirror("slow", web.dripping_chunk_length)], timeout=0.1)
    assert names(tmp_path) == []


@pytest.mark.parametrize("password", ["secret", "se/cret", "se@cret", "se:cret", "se#cret"])
@pytest.mark.parametrize(
    "address", ["http://user:{}@127.0.0.1:9/a/", "ftp://user:{}@127.0.0.1/a/", "user:{}@127.0.0.1/a/", "http://user:{}@"]
)
@pytest.mark.usefixtures("small")
def test_the_password_of_a_mirror_is_not_printed(tmp_path, password, address):
    with pytest.raises(DataError) as caught:
        mnist.download(tmp_path, mirrors=[address.format(password)])
    assert "cret" not in str(caught.value)
    assert "user" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value) or address.endswith("@")


@pytest.mark.usefixtures("small")
def test_an_at_sign_in_the_path_of_a_mirror_is_no_password(tmp_path):
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/@scope/a@b/train"):
        mnist.download(tmp_path, mirrors=["http://127.0.0.1:9/@scope/a@b"])


def test_a_mirror_that_asks_for_a_password_is_given_it(server, tmp_path):
    mirror = server.mirror("private", web.only_for("user", "secret")).replace("://", "://user:secret@")
    assert_complete(mnist.download(tmp_path, mirrors=[mirror]))


def test_the_third_mirror_is_reached(server, tmp_path):
    mirrors = ["http://127.0.0.1:9/", server.mirror("wrong", web.wrong_bytes), server.mirror("good", web.good)]
    assert_complete(mnist.download(tmp_path, mirrors=mirrors))


@pytest.mark.usefixtures("small")
def test_when_no_mirror_answers_the_message_says_what_can_be_done(tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "http://127.0.0.1:9/a, http://127.0.0.1:9/b/")
    with pytest.raises(DataError) as caught:
        mnist.load(tmp_path)
    message = str(caught.value)
    for expected in (
        f"http://127.0.0.1:9/a/{TRAIN_IMAGES}",
        f"http://127.0.0.1:9/b/{TRAIN_IMAGES}",
        "Connection refused",
        str(tmp_path),
        "--data-dir",
        "--dataset digits",
        f"curl -L --create-dirs -o '{tmp_path / TRAIN_IMAGES}' http://127.0.0.1:9/a/{TRAIN_IMAGES}",
    ):
        assert expected in message
    assert message.count("curl") == 4


@pytest.mark.usefixtures("small")
def test_mirrors_have_to_be_web_addresses(tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, "folder/of/the/teacher")
    with pytest.raises(DataError, match=r"NUMBACNN_MNIST_MIRRORS.*'folder/of/the/teacher'"):
        mnist.download(tmp_path)


def test_the_built_in_mirrors_are_used_when_the_variable_is_empty(monkeypatch):
    monkeypatch.setenv(mnist.MIRRORS_VARIABLE, " , ")
    assert download.mirror_list(mnist.collection(), None) == list(mnist.MIRRORS)
    assert all(url.startswith("https://") for url in mnist.MIRRORS)


@pytest.mark.usefixtures("small")
def test_a_data_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="--data-dir") as caught:
            mnist.load(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux's /proc")
def test_a_folder_in_which_no_file_can_be_made_is_refused_not_waited_for(tmp_path):
    """The lock's file was tried for ever, as if another process had it."""
    with pytest.raises(DataError, match=r"/proc: .*--data-dir"):
        mnist.download(Path("/proc"))


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"Permission denied.*--data-dir"):
        mnist.load(tmp_path)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(server, tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(DataError, match="No space left on device"):
        mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)])
    assert names(tmp_path) == []


def test_what_a_killed_download_left_is_cleared_away(server, tmp_path):
    (tmp_path / f".{TRAIN_IMAGES}-0123abcd.partial").write_bytes(b"half")
    assert_complete(mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)]))


def test_ctrl_c_leaves_no_part_of_a_file(server, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)], progress=interrupt)
    assert names(tmp_path) == []


def test_nothing_is_printed(server, tmp_path, capfd):
    mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)])
    assert capfd.readouterr() == ("", "")


def test_several_processes_at_once_download_each_file_once(server, tmp_path):
    environment = dict(os.environ, **{mnist.MIRRORS_VARIABLE: server.mirror("slow", web.slow_but_good)})
    command = [sys.executable, "-c", CHILD, str(tmp_path), *CHILD_PATHS]
    children = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert_complete(tmp_path)
    assert sorted(server.requests.values()) == [1, 1, 1, 1]


def test_a_process_that_waits_for_another_says_so(server, tmp_path):
    notices = []
    held = threading.Event()

    def hold():
        with FileLock(tmp_path / "mnist.lock"):
            held.set()
            time.sleep(0.6)

    threading.Thread(target=hold).start()
    held.wait()
    mnist.download(tmp_path, mirrors=[server.mirror("good", web.good)], notice=notices.append)
    assert "another process" in notices[0]
    assert_complete(tmp_path)


def test_the_real_files_are_downloaded_and_loaded(mnist_folder, tmp_path, monkeypatch):
    found = mnist.find(mnist_folder)
    files = {file.name: found[key].read_bytes() for key, file in mnist.FILES.items()}
    if not all(data.startswith(b"\x1f\x8b") for data in files.values()):
        pytest.skip("the files here are unpacked, a mirror serves them gzipped")
    with web.serving(files) as server:
        monkeypatch.setenv(mnist.MIRRORS_VARIABLE, server.mirror("good", web.good))
        _, labels, *_ = mnist.load(tmp_path, 10, 10)
    assert labels.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
