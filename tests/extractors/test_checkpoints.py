"""Models by name: from a folder, and from a hub on the loopback, whose pickles are never fetched."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, SpeechEncoderSettings
from bigfusion.extractors.audio.whisper import WhisperExtractor, WhisperSettings
from bigfusion.extractors.base import Feature
from bigfusion.extractors.checkpoints import Checkpoint
from bigfusion.extractors.download import model_bytes
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.speech import weights
from bigfusion.extractors.text.download import complete, download_bytes
from bigfusion.extractors.text.pretrained import load, locate
from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Utterance
from tests.helpers.hub_server import COMMIT, Hub, hub_server
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_speech import save_speech

NAME = "owner/speech"
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


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


@pytest.fixture
def sentences(hub: Hub, tmp_path: Path) -> dict[str, bytes]:
    """A sentence-transformers model on the hub: first tokens, a prompt, at most 16 tokens. Returns its files."""
    folder = save_roberta(tmp_path / "sentences", layers=1)
    (folder / "1_Pooling").mkdir()
    for name, said in (
        ("modules.json", MODULES),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
        ("sentence_bert_config.json", {"max_seq_length": 16}),
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"}),
    ):
        (folder / name).write_text(json.dumps(said))
    paths = [path for path in folder.rglob("*") if path.is_file()]
    hub.files[NAME] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return hub.files[NAME]


def sentence(name: str = NAME, **settings: Any) -> SentenceExtractor:
    return SentenceExtractor(SentenceSettings(model=name, device="cpu", **settings), sha256_of)


def vector(made: SentenceExtractor) -> np.ndarray:
    (outcome,) = made.extract([Utterance("a", "What is it that you want?")])
    assert isinstance(outcome, Feature)
    return outcome.vector


@pytest.mark.usefixtures("sentences")
@pytest.mark.parametrize(
    ("absent", "settings"),
    [
        (("modules.json", "1_Pooling/config.json"), {}),
        (("1_Pooling/config.json",), {}),
        (("sentence_bert_config.json",), {}),
        (("config_sentence_transformers.json",), {"pooling": "mean"}),
        (("tokenizer_config.json",), {"pooling": "mean"}),
    ],
)
def test_a_cache_that_was_filled_file_by_file_gives_the_whole_models_numbers_or_none(
    hub: Hub, sentences: dict[str, bytes], absent: tuple[str, ...], settings: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Files that a model may lack: only the hub knows whether this one does."""
    from huggingface_hub import hf_hub_download

    expected = vector(sentence(str(tmp_path / "sentences"), **settings))
    for name in set(sentences) - set(absent):
        hf_hub_download(NAME, name)
    made = sentence(**settings)
    assert made.spec.weights == {"model": f"{NAME}@{COMMIT}"}
    at(monkeypatch, "http://127.0.0.1:9")
    assert made.checkpoint.cached() is None
    with pytest.raises(ExtractionError, match="name its folder") as found:
        made.checkpoint.fetched()
    assert "\n" not in str(found.value)
    at(monkeypatch, hub.address)
    assert model_bytes(made.checkpoint, "text.s.model") == sum(len(sentences[name]) for name in absent)
    np.testing.assert_array_equal(vector(made), expected)
    at(monkeypatch, "http://127.0.0.1:9")
    assert model_bytes(sentence(**settings).checkpoint, "text.s.model") == 0
    np.testing.assert_array_equal(vector(sentence(**settings)), expected)


@pytest.mark.parametrize("absent", [["tokenizer_config.json"], []])
def test_an_encoder_in_a_cache_that_was_filled_file_by_file_is_completed_or_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: list[str]
) -> None:
    """Without the file that says how a BERT reads words, it reads them in lower case."""
    from huggingface_hub import hf_hub_download

    folder = save_roberta(tmp_path / "cased", layers=1)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\noh\nmy\nOH\nMY\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.files[NAME] = files | {"onnx.bin": b"what nobody reads"}
    for name in files.keys() - set(absent):
        hf_hub_download(NAME, name)
    at(monkeypatch, "http://127.0.0.1:9")
    for ask in (download_bytes, complete):
        with pytest.raises(
            ExtractionError, match=r"expected all files that the hub lists, found a cache that may lack"
        ):
            ask(locate(NAME, None))
    at(monkeypatch, hub.address)
    assert download_bytes(locate(NAME, None)) == sum(len(files[name]) for name in absent)
    complete(locate(NAME, None))
    at(monkeypatch, "http://127.0.0.1:9")
    assert download_bytes(locate(NAME, None)) == 0
    complete(locate(NAME, None))
    assert load(locate(NAME, None), torch.float32)[1].tokenize("OH MY") == ["OH", "MY"]


def test_an_encoder_with_a_fast_tokenizer_is_taken_from_a_cache_that_was_filled_file_by_file(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows without a connection whether it is whole; this is said once."""
    from huggingface_hub import hf_hub_download

    folder = save_roberta(tmp_path / "roberta", layers=1)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.files[NAME] = files | {"dict.txt": b"what nobody reads"}
    for name in files:
        hf_hub_download(NAME, name)
    at(monkeypatch, "http://127.0.0.1:9")
    for _ in range(2):
        assert download_bytes(locate(NAME, None)) == 0
        complete(locate(NAME, None))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"text.model {NAME!r}: expected the hub's list of its files, found none; ")


def test_a_model_without_optional_files_is_taken_from_a_cache_that_was_filled_file_by_file(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        hf_hub_download(NAME, name)
    at(monkeypatch, "http://127.0.0.1:9")
    assert speech().checkpoint.fetched().name == COMMIT


def test_what_the_hub_lacks_is_a_line_with_the_setting(hub: Hub) -> None:
    del hub.files[NAME]["model.safetensors"]
    for name, said in ((NAME, "expected model.safetensors or"), ("owner/other", "expected a model of the hub")):
        with pytest.raises(ExtractionError) as found:
            model_bytes(speech(name).checkpoint, "audio.w.model")
        assert str(found.value).startswith(f"audio.w.model {name!r}: {said}")
    with pytest.raises(ExtractionError, match=r"expected model\.safetensors or"):
        speech().checkpoint.fetched()


def test_what_the_hub_refuses_is_a_line_with_its_own_remedy(hub: Hub) -> None:
    """A gated model, a revision that is none, a name that is none, a name that no hub could have."""
    makers: list[tuple[str, Any]] = [
        ("audio", lambda name, **more: speech(name, **more).checkpoint),
        ("text", lambda name, **more: sentence(name, **more).checkpoint),
        ("text", lambda name, revision=None: locate(name, revision)),
    ]
    hub.files["owner/gated"] = hub.files[NAME]
    hub.gated.add("owner/gated")
    cases = [
        ("owner/gated", {}, "expected a free model, found a gated one; log in to the hub"),
        (NAME, {"revision": "v9"}, "expected revision v9, found none; correct "),
        ("owner/none", {}, "expected a model of the hub, found none; correct the name"),
        ("owner/a b", {}, "expected a hub's owner/name, found another form; correct it"),
    ]
    for kind, make in makers:
        for name, more, said in cases:
            found = make(name, **more)
            setting = f"{kind}.x.model" if isinstance(found, Checkpoint) else "text.model"
            with pytest.raises(ExtractionError) as weighed:
                model_bytes(found, setting) if isinstance(found, Checkpoint) else download_bytes(found)
            assert str(weighed.value).startswith(f"{setting} {name!r}: {said}"), (kind, name)
            if more:
                assert str(weighed.value).endswith(setting.replace("model", "revision"))
            with pytest.raises(ExtractionError) as fetched:
                found.fetched() if isinstance(found, Checkpoint) else load(found, torch.float32)
            assert f"{name!r}: {said}" in str(fetched.value)
            assert "\n" not in f"{weighed.value}{fetched.value}"
    for name, more, said in cases:
        with pytest.raises(ExtractionError) as heard:
            weights.fetched(weights.whisper(name, more.get("revision")))
        assert str(heard.value).startswith(f"predict.speech_model {name!r}: {said}")


def test_a_part_of_a_whisper_in_the_cache_is_completed_or_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its config.json a Whisper suppresses other tokens, and so hears other words."""
    from huggingface_hub import hf_hub_download

    hub.files["owner/whisper"] = {name: name.encode() for name in ("model.bin", "config.json", "tokenizer.json")}
    hf_hub_download("owner/whisper", "model.bin")
    known = weights.whisper("owner/whisper", COMMIT)
    at(monkeypatch, "http://127.0.0.1:9")
    waited: list[float] = []  # the hub's library asks for a commit's files six times, over 23 s
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=waited.append))
    with pytest.raises(ExtractionError, match=r"found no config\.json on the hub or, without a connection"):
        weights.fetched(known)
    assert len(waited) == 5
    at(monkeypatch, hub.address)
    folder = weights.fetched(known)
    assert {path.name for path in folder.iterdir()} == set(hub.files["owner/whisper"])


def test_a_part_of_a_gated_model_in_the_cache_is_no_model_without_weights(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download(NAME, "config.json")
    hub.gated.add(NAME)
    with pytest.raises(ExtractionError, match="found a gated one"):
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
