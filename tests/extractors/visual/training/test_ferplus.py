"""FER+ on disk: mosaics, votes and labels, on a folder made here; and training that resumes to the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bigfusion.extractors.visual.densenet import CLASSES, seeded
from bigfusion.extractors.visual.training import ferplus
from bigfusion.extractors.visual.training.augmentation import augmented, resized
from bigfusion.extractors.visual.training.ferplus import Faces
from bigfusion.extractors.visual.training.scores import features_by_engine, score
from bigfusion.extractors.visual.training.training import FaceTraining, FaceTrainingSettings, predict
from bigfusion.pipeline.errors import ExtractionError
from tests.helpers.small_ferplus import votes, write_ferplus

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = FaceTrainingSettings(
    stages=((16, 1), (24, 1)), batch_size=16, learning_rate=0.05, precision="float32", device="cpu", threads=1
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 faces in two mosaics: happy ones are bright above, sad ones below."""
    path = tmp_path_factory.mktemp("ferplus")
    write_ferplus(path)
    return path


@pytest.fixture(scope="module")
def few(folder: Path) -> dict[str, Faces]:
    """One batch to train on."""
    return {split: Faces(part.tiles[:16], part.votes[:16]) for split, part in ferplus.read(folder).items()}


def test_tiles_lie_row_by_row(folder: Path) -> None:
    faces = ferplus.read(folder)
    assert {split: len(part) for split, part in faces.items()} == {"train": 90, "valid": 20, "test": 20}
    second = np.asarray(Image.open(folder / "0001.png"))
    np.testing.assert_array_equal(faces["test"].tiles[0], second[48:96, :48])  # number 110: row 1, column 0


def test_labels_by_hand() -> None:
    """FER+'s paper: single votes are slips; a majority is more than half of what is left."""
    rows = [
        votes(("anger", 6), ("fear", 3), ("neutral", 1)),  # 6 of 9
        votes(("anger", 4), ("fear", 4), ("neutral", 2)),  # a tie
        votes(("anger", 5), ("unknown", 5)),  # half is not more than half
        votes(("unknown", 8), ("anger", 2)),
        votes(("sadness", 4), ("fear", 3), ("NF", 3)),  # most, but no majority
        votes(("anger", 5), ("fear", 4), ("neutral", 1)),  # 5 of 9 once the slip is left out
    ]
    faces = Faces(np.zeros((6, 48, 48), np.uint8), np.array(rows, np.float32))
    anger, sadness = CLASSES.index("anger"), CLASSES.index("sadness")
    assert faces.majority.tolist() == [anger, -1, -1, -1, -1, anger]
    assert faces.plurality.tolist() == [anger, anger, -1, -1, sadness, anger]
    assert faces.distribution[0, anger] == pytest.approx(6 / 9)
    assert faces.distribution[3].tolist()[anger] == 1
    np.testing.assert_allclose(faces.distribution.sum(1), 1)


@pytest.mark.parametrize("spoilt", ["index", "column", "mosaic", "noise", "size", "jpeg xl"])
def test_folders_that_are_not_ferplus(folder: Path, tmp_path: Path, spoilt: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    match spoilt:
        case "index":
            (tmp_path / "index.csv").unlink()
        case "column":
            (tmp_path / "index.csv").write_text("number,split\n0,train\n")
        case "mosaic":
            (tmp_path / "0001.png").unlink()
        case "noise":
            (tmp_path / "0001.png").write_bytes(b"noise")
        case "size":
            Image.new("L", (48, 48)).save(tmp_path / "0001.png")
        case _:
            (tmp_path / "0001.png").rename(tmp_path / "0001.jxl")
            (tmp_path / "0001.jxl").write_bytes(b"noise")
    with pytest.raises(ExtractionError, match="expected") as caught:
        ferplus.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_augmentation_keeps_the_range_and_the_seed() -> None:
    tiles = torch.randint(0, 256, (32, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    one, same = (augmented(tiles, 40, torch.Generator().manual_seed(1)) for _ in range(2))
    other = augmented(tiles, 40, torch.Generator().manual_seed(2))
    assert one.shape == (32, 1, 40, 40)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_resized_is_bilinear_and_keeps_what_needs_no_change() -> None:
    tiles = torch.arange(16, dtype=torch.uint8).view(1, 4, 4)
    torch.testing.assert_close(resized(tiles, 4)[0, 0], tiles[0].float() / 255)
    assert resized(tiles, 2)[0, 0, 0, 0] == pytest.approx((0 + 1 + 4 + 5) / 4 / 255)


class Killed(Exception):
    """What stands for a kill."""


@pytest.mark.slow
def test_training_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    faces = ferplus.read(folder)
    whole = FaceTraining(faces, tmp_path / "whole", SMALL)
    expected = whole.run().state_dict()
    for stop in (2, 5, 4):  # five steps an epoch

        def kill(count: int, left: list[int] = [stop]) -> None:  # noqa: B006 (a counter)
            left[0] -= count
            if not left[0]:
                raise Killed

        training = FaceTraining(faces, tmp_path / "killed", SMALL)
        with pytest.raises(Killed):
            training.run(kill, save_seconds=0)
    last = FaceTraining(faces, tmp_path / "killed", SMALL)
    assert 0 < last.step < last.steps
    found = last.run().state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert [(e.epoch, e.side, e.loss) for e in last.history] == [(e.epoch, e.side, e.loss) for e in whole.history]


def test_the_averaged_network_has_statistics_of_its_own(folder: Path, tmp_path: Path) -> None:
    """Those averaged along with the weights once made a good network name one class for every face."""
    faces = ferplus.read(folder)
    settings = SMALL.model_copy(update={"stages": ((24, 1),), "average": 0.9, "learning_rate": 0.5})
    network = FaceTraining(faces, tmp_path, settings).run()
    tiles = faces["train"].tiles
    many = torch.cat([augmented(torch.from_numpy(tiles), 24, torch.Generator().manual_seed(n)) for n in range(10)])
    with torch.no_grad():
        maps = network.features.conv0((many - network.mean) / network.std)  # (10 N, 24, 12, 12)
    norm = network.features.norm0
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=0.15, atol=0)


def test_a_loss_that_is_no_number_ends_the_training_before_its_epoch_is_stored(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExtractionError, match="finite loss"):
        FaceTraining(ferplus.read(folder), tmp_path, SMALL.model_copy(update={"learning_rate": 1e30})).run()
    assert not list(tmp_path.iterdir())


def test_a_state_of_another_training_is_refused(few: dict[str, Faces], tmp_path: Path) -> None:
    FaceTraining(few, tmp_path, SMALL.model_copy(update={"stages": ((16, 1),)})).run()
    with pytest.raises(ExtractionError, match="with others"):
        FaceTraining(few, tmp_path, SMALL)
    (tmp_path / "state.safetensors").write_bytes(b"noise")
    with pytest.raises(ExtractionError, match="delete it"):
        FaceTraining(few, tmp_path, SMALL)


@pytest.mark.slow
def test_it_learns_and_is_scored(folder: Path, tmp_path: Path) -> None:
    """Bright above or below is learnt in a few steps, whatever the lighting and the turn."""
    faces = ferplus.read(folder)
    longer = SMALL.model_copy(update={"stages": ((24, 6),), "average": 0.5})
    network = FaceTraining(faces, tmp_path, longer).run()
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "net.safetensors")
    found = score(tmp_path / "net.safetensors", faces, "cpu")
    assert found["test_faces"] == found["test_faces_plurality"] == 20
    assert found["valid_accuracy"] > 0.8
    matrix = np.array(found["confusion"])
    assert found["test_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert sum(found["supports"].values()) == 20


def test_the_engine_of_extraction_scores_as_the_network_does(few: dict[str, Faces]) -> None:
    faces = few["test"]
    network = seeded(1)
    by_engine = predict(network, faces, embed=features_by_engine(network), batch_size=3)
    np.testing.assert_allclose(by_engine, predict(network, faces), rtol=0, atol=1e-5)
