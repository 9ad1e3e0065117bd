"""The lecture's arrays are tiny: one thread computes them."""

from collections.abc import Iterator

import pytest
from devices import one_thread


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
