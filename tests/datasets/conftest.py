"""Fixtures of the data sets' tests."""

import http_server as web
import pytest
from small_mnist import BY_NAME, SMALL_FILES

from numbacnn.dataset_names import DOWNLOADS
from numbacnn.datasets import mnist, named


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """No test reaches beyond this machine, whatever it does wrong."""
    for name in DOWNLOADS:
        monkeypatch.setenv(named.description(name).mirrors_variable, "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def small(monkeypatch):
    """MNIST, for the duration of a test, is four files of a few images."""
    monkeypatch.setattr(mnist, "FILES", SMALL_FILES)


@pytest.fixture
def server(small):
    with web.serving(BY_NAME) as server:
        yield server
