"""Event files for TensorBoard, read back by its own format: records with checksums, each a protocol buffer."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from numbacnn.errors import CheckpointError, DeviceError
from numbacnn.training.event_files import EventFile
from numbacnn.training.events import EpochRecord

NEEDS = "needs the extra log: pip install 'numbacnn[log]'"
FIRST = EpochRecord(1, 0.01, 1.5, 0.5, 1.25, 0.625, 2.5, 1000.0)


def read_events(folder: Path) -> list:
    """All events of a folder, by the files' names; a wrong checksum fails."""
    crc = pytest.importorskip("tensorboardX.crc32c", reason=NEEDS).crc32c
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.iterdir()):
        data, start = path.read_bytes(), 0
        while start < len(data):
            (length,) = struct.unpack_from("<Q", data, start)
            body = data[start + 12 : start + 12 + length]
            for part, place in ((data[start : start + 8], start + 8), (body, start + 12 + length)):
                value = crc(part)
                assert struct.unpack_from("<I", data, place)[0] == (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            events.append(Event.FromString(body))
            start += 16 + length
    return events


def scalars(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The figures of each epoch."""
    return [(e.step, {v.tag: v.simple_value for v in e.summary.value}) for e in read_events(folder) if e.summary.value]


def test_the_figures_of_each_epoch_are_scalars_at_its_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason=NEEDS)
    watched = replace(
        FIRST, epoch=2, learning_rate=0.005, test_loss=None, test_accuracy=None, validation_loss=1.0, validation_accuracy=0.75
    )
    file = EventFile(tmp_path / "logs")
    for record in (FIRST, watched):
        file.write(record)
        assert scalars(tmp_path / "logs")[-1][0] == record.epoch, "each epoch is on the disk once it is written"
    file.close()
    assert scalars(tmp_path / "logs") == [
        (1, {"loss/train": 1.5, "loss/test": 1.25, "accuracy/train": 0.5, "accuracy/test": 0.625,
             "learning_rate": pytest.approx(0.01), "images_per_second": 1000}),
        (2, {"loss/train": 1.5, "loss/validation": 1.0, "accuracy/train": 0.5, "accuracy/validation": 0.75,
             "learning_rate": pytest.approx(0.005), "images_per_second": 1000}),
    ]  # fmt: skip


def test_a_resumed_run_replaces_the_later_part_of_its_curve(tmp_path: Path) -> None:
    """A viewer drops the steps from that of a session's start on."""
    session = pytest.importorskip("tensorboardX.proto.event_pb2", reason=NEEDS).SessionLog
    for epoch in (1, 3):
        EventFile(tmp_path, epoch).close()
    assert len(list(tmp_path.iterdir())) == 2, "files made in the same second have names of their own"
    starts = [event.step for event in read_events(tmp_path) if event.session_log.status == session.START]
    assert starts == [1, 3]


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    monkeypatch.delitem(__import__("sys").modules, "tensorboardX.event_file_writer", raising=False)
    with pytest.raises(DeviceError, match=r"pip install 'numbacnn\[log\]'"):
        EventFile(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason=NEEDS)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Give another folder with --log-dir"):
        EventFile(tmp_path / "file" / "logs")
