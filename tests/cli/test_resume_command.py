"""The command that a stopped training prints, to go on with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from numbacnn_cli.origin import Origin
from numbacnn_cli.train_run import resume_command


@pytest.mark.parametrize(
    ("dataset", "options", "expected"),
    [
        ("digits", {}, ""),
        ("mnist", {}, " --data-dir 'my data'"),
        ("emnist-letters", {}, " --data-dir 'my data'"),
        ("/pictures/my photos", {}, " --dataset '/pictures/my photos'"),
        ("digits", {"epochs": 10}, ""),  # of a new run: the checkpoint has them
        ("digits", {"resume": True, "epochs": 10}, " --epochs 10"),
        ("digits", {"device": "cuda", "named": {"device"}, "threads": 2}, " --device cuda --threads 2"),
        ("digits", {"log_dir": Path("my logs")}, " --log-dir 'my logs'"),
    ],
)
def test_the_command_to_go_on_with_has_the_options_that_a_checkpoint_does_not_hold(
    dataset: str, options: dict[str, Any], expected: str
) -> None:
    given: Any = SimpleNamespace(
        **{
            "resume": False,
            "epochs": None,
            "named": set(),
            "device": "cpu",
            "threads": None,
            "log_dir": None,
            "data_dir": Path("my data"),
            **options,
        }
    )
    command = resume_command(Path("a b"), Origin("small", dataset, None, None, False), given)
    assert command == f"numbacnn train --resume --output 'a b'{expected}"
