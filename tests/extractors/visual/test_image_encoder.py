"""Image encoders of random weights, saved as real checkpoints, on clips of real faces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, CLIPVisionModel, ConvNextModel, Dinov2Model, ViTModel

from bigfusion.extractors.base import Failure, Feature
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings, _square
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.schema import Status, Utterance
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.pictures import blank, collins, pasted
from tests.helpers.tiny_images import saved

pytestmark = pytest.mark.usefixtures("one_thread")


def extractor(folder: Path, **settings: Any) -> ImageEncoderExtractor:
    return ImageEncoderExtractor(
        ImageEncoderSettings(model=str(folder), device="cpu", threads=1, **settings), sha256_of
    )


def vector(made: ImageEncoderExtractor, utterance: Utterance) -> np.ndarray:
    (outcome,) = made.extract([utterance])
    assert isinstance(outcome, Feature), outcome
    return outcome.vector


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Utterance:
    views = [pasted(blank(240, 320), collins()[:512, :512], 20 + 4 * number, 10, 200) for number in range(6)]
    path = write_clip(tmp_path_factory.mktemp("clips") / "a.mp4", views, fps=10)
    return Utterance("a", "", visual=span(path))


def by_hand(folder: Path, model: Any, utterance: Utterance) -> np.ndarray:
    """Each sampled frame through processor and model on its own. Shape: (T, 16)."""
    assert utterance.visual is not None
    processor, rows = AutoImageProcessor.from_pretrained(folder), []
    for frame in read_frames(utterance.visual):
        with torch.inference_mode():
            output = model(processor(frame.small, return_tensors="pt")["pixel_values"])
        rows.append((output.pooler_output if model.name != "first" else output.last_hidden_state[:, 0]).flatten())
    return torch.stack(rows).numpy()


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("clip", CLIPVisionModel),
        ("dinov2", Dinov2Model),
        ("vit", ViTModel),
        ("vit classifier", ViTModel),
        ("convnext", ConvNextModel),
    ],
)
def test_frames_through_the_checkpoints_own_model_and_processor(
    tmp_path: Path, clip: Utterance, kind: str, reference: Any
) -> None:
    """A classifier's file has no pooling layer, so the first token counts, not a layer of random weights."""
    model = reference.from_pretrained(saved(tmp_path, kind)).eval()
    model.name = "first" if kind == "vit classifier" else "pooled"
    rows = by_hand(tmp_path, model, clip)
    assert rows.shape == (3, 16)
    found = vector(extractor(tmp_path, on="frame", pool=("mean", "std", "max")), clip)
    np.testing.assert_allclose(found, np.concatenate([rows.mean(0), rows.std(0), rows.max(0)]), rtol=1e-4, atol=1e-5)


def test_batches_and_neighbours_change_nothing(tmp_path: Path, clip: Utterance) -> None:
    saved(tmp_path, "clip")
    for on in ("frame", "face"):
        expected = vector(extractor(tmp_path, on=on), clip)
        single, many = (extractor(tmp_path, on=on, batch_size=size) for size in (1, 2))
        np.testing.assert_allclose(vector(single, clip), expected, rtol=0, atol=1e-5)
        for outcome in many.extract([clip] * 3):
            assert isinstance(outcome, Feature)
            np.testing.assert_allclose(outcome.vector, expected, rtol=0, atol=1e-5)


def test_a_face_is_its_square_and_not_the_frame(tmp_path: Path, clip: Utterance) -> None:
    saved(tmp_path, "vit")
    face, frame = (vector(extractor(tmp_path, on=on), clip) for on in ("face", "frame"))
    assert face.shape == frame.shape == (16,)
    assert not np.allclose(face, frame, atol=1e-3)


def test_a_square_by_hand() -> None:
    """A box of 8 x 4 around (6, 4): 8 * 1.5 = 12 wide, from x 0 to 12 and from y -2 to 10."""
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(20), np.arange(20)[:, None]
    square = _square(picture, np.array([2.0, 2, 10, 6]))
    assert square.shape == (12, 12, 3)
    assert square[0, :, 0].tolist() == list(range(12))
    assert square[:, 0, 1].tolist() == [0, 0, *range(10)]


def test_without_a_face(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "nobody.mp4", [blank(240, 320)] * 4, fps=10)
    made = extractor(saved(tmp_path / "model", "vit"))
    nobody, nothing = made.extract([Utterance("n", "", visual=span(path)), Utterance("m", "")])
    assert isinstance(nobody, Failure)
    assert nobody.status == Status.NO_FACE
    assert isinstance(nothing, Failure)
    assert nothing.status == Status.MISSING_MEDIA


def test_the_fingerprint_follows_the_files_not_their_place(tmp_path: Path) -> None:
    here, there = (extractor(saved(tmp_path / name, "vit"), batch_size=size) for name, size in (("a", 1), ("b", 2)))
    assert here.spec == there.spec
    assert set(here.spec.weights) == {"config.json", "preprocessor_config.json", "model.safetensors", "detector"}
    assert "detector" not in extractor(tmp_path / "a", on="frame").spec.weights
    assert extractor(tmp_path / "a", pool=("max",)).spec != here.spec


def test_what_is_no_image_encoder(tmp_path: Path, clip: Utterance) -> None:
    with pytest.raises(ExtractionError, match="expected a folder"):
        _ = extractor(tmp_path / "nowhere").spec
    folder = saved(tmp_path / "model", "vit")
    (folder / "model.safetensors").write_bytes(b"noise")
    with pytest.raises(ExtractionError, match="expected an image encoder"):
        extractor(folder).extract([clip])
