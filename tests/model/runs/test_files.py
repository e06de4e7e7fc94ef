"""Files of a run: whole, verified, and plain about what is wrong with them."""

from pathlib import Path

import pytest
import torch

from bigfusion.model.runs.files import Record, read_json, read_record, write_json, write_record
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.pipeline.errors import TrainingError

TENSORS = {
    "matrix": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "scalar": torch.tensor(1.5),
    "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "brain": torch.tensor([[0.5]], dtype=torch.bfloat16),
    "empty": torch.empty(0, 4, dtype=torch.int16),
    "transposed": torch.arange(6).reshape(2, 3).T,
}


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    checksum = write_tensors(tmp_path / "a" / "t.safetensors", TENSORS, {"seed": 3, "name": "ünï"})
    tensors, facts, found = read_tensors(tmp_path / "a" / "t.safetensors")
    assert list(facts.items()) == [("seed", 3), ("name", "ünï")]  # in their own order
    assert found == checksum
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in "abcdefgh":
        write_tensors(tmp_path / name, TENSORS, {"seed": 3, "epoch": 4})
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1


def test_no_flipped_byte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {"seed": 3})
    content = path.read_bytes()
    for place in range(len(content)):  # one bit of every byte
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            tensors, facts, _ = read_tensors(path)
        except TrainingError:
            continue
        # a flip that is not noticed may only be one that says the same: a space of the header's padding
        assert facts == {"seed": 3}, place
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items()), place


def test_a_cut_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TrainingError, match=r"t\.safetensors: expected safetensors"):
        read_tensors(path)
    with pytest.raises(TrainingError, match="found none"):
        read_tensors(tmp_path / "none.safetensors")


class Point(Record):
    x: int
    y: float = 0


def test_records_come_back(tmp_path: Path) -> None:
    write_record(tmp_path / "p.json", Point(x=1, y=2.5))
    assert read_record(tmp_path / "p.json", Point) == Point(x=1, y=2.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "expected JSON"), (b'{"y": 1}', "x: Field required"), (b'{"x": 1, "z": 2}', "z: Extra inputs")],
)
def test_a_record_that_is_none_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        read_record(tmp_path / "p.json", Point)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"p\.json: could not be written .*; make room"):
        write_json(tmp_path / "file" / "p.json", {})


def test_no_nan_in_json(tmp_path: Path) -> None:
    write_json(tmp_path / "p.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "p.json", {"x": float("nan")})
    assert read_json(tmp_path / "p.json") == {"x": 1}
