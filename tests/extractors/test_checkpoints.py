"""Models by name: from a folder, and from a hub on the loopback, whose pickles are never fetched."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, SpeechEncoderSettings
from bigfusion.extractors.audio.whisper import WhisperExtractor, WhisperSettings
from bigfusion.extractors.checkpoints import Checkpoint
from bigfusion.extractors.download import model_bytes
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
from bigfusion.pipeline.errors import ExtractionError
from tests.helpers.hub_server import COMMIT, Hub, hub_server
from tests.helpers.tiny_speech import save_speech

NAME = "owner/speech"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a small wav2vec 2.0, beside files that nobody needs."""
    from huggingface_hub import constants

    with hub_server() as server:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        at(monkeypatch, server.address)
        folder = save_speech(tmp_path / "model", "wav2vec2")
        server.files[NAME] = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.files[NAME] |= {"pytorch_model.bin": b"a pickle", "README.md": b"a card", "adapter.safetensors": b"n"}
        yield server


def at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def speech(name: str = NAME, **settings: Any) -> SpeechEncoderExtractor:
    return SpeechEncoderExtractor(SpeechEncoderSettings(model=name, device="cpu", **settings), sha256_of)


def test_a_hubs_model_is_weighed_then_fetched_once_without_its_pickle(hub: Hub, tmp_path: Path) -> None:
    made = speech()
    spec = made.spec
    assert spec.weights == {"model": f"{NAME}@{COMMIT}"}
    assert "not pinned" in spec.notes[0]
    assert speech(revision=COMMIT).spec.notes == ()
    wanted = {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert model_bytes(made.checkpoint, "audio.w.model") == sum(len(hub.files[NAME][name]) for name in wanted)
    folder = made.checkpoint.fetched()
    assert {path.name for path in folder.iterdir()} == wanted
    hub.files.clear()
    assert model_bytes(made.checkpoint, "audio.w.model") == 0
    again = speech()
    assert again.spec == spec
    assert again.checkpoint.fetched() == folder
    assert not any(outcome for outcome in again.extract([]))


def test_what_the_hub_lacks_is_a_line_with_the_setting(hub: Hub) -> None:
    del hub.files[NAME]["model.safetensors"]
    for name, said in ((NAME, "expected model.safetensors or"), ("owner/other", "expected a model of the hub")):
        with pytest.raises(ExtractionError) as found:
            model_bytes(speech(name).checkpoint, "audio.w.model")
        assert str(found.value).startswith(f"audio.w.model {name!r}: {said}")
    with pytest.raises(ExtractionError, match=r"expected model\.safetensors or"):
        speech().checkpoint.fetched()


def test_without_a_hub_every_kind_fails_soon_and_names_setting_and_remedy(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, "http://127.0.0.1:9")
    makers: list[Any] = [
        speech(),
        SentenceExtractor(SentenceSettings(model=NAME), sha256_of),
        ImageEncoderExtractor(ImageEncoderSettings(model=NAME), sha256_of),
        WhisperExtractor(WhisperSettings(model=NAME), sha256_of),
    ]
    for made in makers:
        began = time.monotonic()
        checkpoint = made.checkpoint
        assert isinstance(checkpoint, Checkpoint)
        assert checkpoint.digests(sha256_of) == {"model": f"{NAME}@main"}
        with pytest.raises(ExtractionError) as found:
            model_bytes(checkpoint, "its.model")
        with pytest.raises(ExtractionError, match="download it on a connected machine"):
            checkpoint.fetched()
        assert str(found.value).startswith(f"its.model {NAME!r}: expected it in the hub's cache or on the hub")
        assert str(found.value).endswith("set its.model to its folder")
        assert "\n" not in str(found.value)
        assert time.monotonic() - began < 15


def test_whispers_split_file_says_how_to_join_it(tmp_path: Path) -> None:
    for part in "ab":
        (tmp_path / f"model.bin.{part}").write_bytes(b"half")
    with pytest.raises(ExtractionError, match=r"cat model.bin.a model.bin.b > model.bin"):
        _ = WhisperExtractor(WhisperSettings(model=str(tmp_path)), sha256_of).spec
