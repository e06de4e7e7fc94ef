"""Image encoders of random weights, saved as real checkpoints, on clips of real faces."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPVisionModel,
    ConvNextModel,
    Dinov2Model,
    IJepaConfig,
    IJepaModel,
    SegformerConfig,
    SegformerModel,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from bigfusion.extractors.base import Failure, Feature
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.visual import image_encoder
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings, _square
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.schema import Status, Utterance
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.pictures import blank, collins, pasted
from tests.helpers.tiny_images import SMALL, saved

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
            output = model(processor(frame.small(), return_tensors="pt")["pixel_values"])
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


def timms(folder: Path) -> tuple[Path, Any]:
    """A small model of timm, saved as timm publishes one, and the model."""
    timm = pytest.importorskip("timm")
    from timm.models._hub import save_for_hf

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("test_vit", pretrained=False, num_classes=3).eval()
    save_for_hf(model, folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({key: value for key, value in config.items() if key != "model_args"})
    )
    return folder, model


def test_a_model_of_timm_gives_what_timm_gives(tmp_path, clip):
    folder, model = timms(tmp_path)
    import timm

    prepared = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        expected = np.stack(
            [
                model.forward_head(
                    model.forward_features(prepared(Image.fromarray(frame.small(512)))[None]), pre_logits=True
                )[0].numpy()
                for frame in read_frames(clip.visual, 5)
            ]
        ).mean(0)
    found = vector(extractor(folder, on="frame", frames_per_second=5), clip)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_model_of_timm_needs_the_extra_and_the_error_names_it(tmp_path, clip, monkeypatch):
    folder, _ = timms(tmp_path)
    monkeypatch.setattr("transformers.utils.import_utils.is_timm_available", lambda: False)
    monkeypatch.setattr(
        "transformers.models.timm_wrapper.modeling_timm_wrapper.requires_backends",
        lambda *_: (_ for _ in ()).throw(ImportError("timm")),
    )
    with pytest.raises(ExtractionError, match=r"pip install 'bigfusion\[timm\]'"):
        extractor(folder, on="frame").extract([clip])


@pytest.mark.parametrize(
    ("file", "part"), [("config.json", "AutoModel"), ("preprocessor_config.json", "AutoImageProcessor")]
)
def test_transformers_own_class_never_stands_in_for_a_checkpoints_code(
    file: str, part: str, clip: Utterance, tmp_path: Path
) -> None:
    folder = saved(tmp_path, "vit")
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, "auto_map": {"AutoModelForImageClassification": "own.Own"}}))
    assert vector(extractor(folder, on="frame"), clip).shape == (16,)
    (folder / file).write_text(json.dumps({**config, "auto_map": {part: "own.Own"}}))
    with pytest.raises(ExtractionError) as found:
        extractor(folder, on="frame").extract([clip])
    assert "expected a model of transformers' own classes" in str(found.value)
    assert f"({part} in {file})" in str(found.value)
    assert "\n" not in str(found.value)


def test_how_a_newer_checkpoint_prepares_pictures_is_read_and_is_in_the_fingerprint(
    clip: Utterance, tmp_path: Path
) -> None:
    """processor_config.json counts before preprocessor_config.json, which may be absent."""
    folder = saved(tmp_path / "a", "vit")
    before, old = vector(extractor(folder, on="frame"), clip), extractor(folder).spec
    told = json.loads((folder / "preprocessor_config.json").read_text()) | {"image_mean": [0.1, 0.9, 0.4]}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": told}))
    found = vector(extractor(folder, on="frame"), clip)
    assert not np.allclose(found, before)
    assert extractor(folder).spec != old
    (folder / "preprocessor_config.json").unlink()
    np.testing.assert_array_equal(vector(extractor(folder, on="frame"), clip), found)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("masked autoencoder", "found another for the same picture"),
        ("maps", "found 2 dimensions"),
        ("patches", "found one for each patch, and nothing that pools them"),
    ],
)
def test_a_model_without_a_vector_for_a_picture_is_refused(
    kind: str, said: str, clip: Utterance, tmp_path: Path
) -> None:
    """ViTMAE hides other patches in each call; SegFormer gives maps; I-JEPA's first token is the upper left patch."""
    folder = saved(tmp_path, "vit")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "masked autoencoder":
            model: Any = ViTMAEModel(ViTMAEConfig(**SMALL))
        elif kind == "maps":
            blocks: dict[str, Any] = {"depths": [1], "sr_ratios": [2], "hidden_sizes": [16], "patch_sizes": [7]}
            heads: dict[str, Any] = {"strides": [4], "num_attention_heads": [2], "mlp_ratios": [2]}
            model = SegformerModel(SegformerConfig(num_encoder_blocks=1, **blocks, **heads))
        else:
            model = IJepaModel(IJepaConfig(**SMALL))
        model.save_pretrained(folder)
    with pytest.raises(ExtractionError) as found:
        extractor(folder, on="frame").extract([clip])
    assert f"visual model {str(folder)!r}: expected a vector for each picture, {said}" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_gpu_does_not_round_where_a_processor_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" stands for a GPU: it takes the weights and computes nothing."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    made = extractor(saved(tmp_path, "convnext"), on="frame")
    made.load()
    assert torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(image_encoder, "device_named", lambda name: torch.device("meta"))
    extractor(tmp_path, on="frame").load()
    assert not torch.backends.cudnn.allow_tf32
