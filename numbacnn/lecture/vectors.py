"""The lecture's numbers as data: inputs, and the results that they must have."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def vectors() -> dict[str, Any]:
    """The content of ``vectors.json``. Read it only: callers share it."""
    text = files("numbacnn.lecture").joinpath("vectors.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
