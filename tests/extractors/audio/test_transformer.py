"""Speech encoders of random weights, a family each, against the slow way: one turn, no batch, no padding.

Numbers are of unit scale. 1e-4 is what the order of additions costs in float32, alone or in a batch.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    AutoFeatureExtractor,
    BertConfig,
    BertModel,
    MoonshineConfig,
    MoonshineModel,
    Wav2Vec2FeatureExtractor,
)

from bigfusion.extractors.audio import speech_encoder
from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, SpeechEncoderSettings, batches
from bigfusion.extractors.base import Failure, Feature
from bigfusion.extractors.files import sha256_of
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import MediaSpan, Status, Utterance
from tests.helpers.clip_maker import write_clip
from tests.helpers.tiny_speech import FAMILIES, model_of, save_speech, voice

pytestmark = pytest.mark.usefixtures("one_thread")

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
SECONDS = (0.41, 1.7, 0.93, 1.1)


def wav(path: Path, sound: np.ndarray) -> Path:
    return write_clip(path, sound=sound[None], rate=16_000, audio="pcm_s16le")


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Turns of several lengths, louder and softer."""
    folder = tmp_path_factory.mktemp("turns")
    sounds = [voice(seconds, number) * (number + 1) / 4 for number, seconds in enumerate(SECONDS)]
    return [
        Utterance(str(number), "", audio=MediaSpan(wav(folder / f"{number}.wav", sound), "-"))
        for number, sound in enumerate(sounds)
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("models")
    return cache(lambda family: save_speech(home / family, family))


@pytest.fixture(scope="module")
def plain(folders: Any) -> Any:
    """A family's extractor as it is by default, its model loaded once."""
    return cache(lambda family: extractor(folders(family)))


def extractor(folder: Path, **settings: Any) -> SpeechEncoderExtractor:
    return SpeechEncoderExtractor(
        SpeechEncoderSettings(model=str(folder), **{"device": "cpu", "threads": 1, **settings}), sha256_of
    )


def vectors(made: SpeechEncoderExtractor, turns: list[Utterance]) -> np.ndarray:
    outcomes = made.extract(turns)
    assert all(isinstance(outcome, Feature) for outcome in outcomes), outcomes
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Feature)])


@cache
def library(family: str, folder: Path) -> tuple[Any, Any]:
    """transformers' own encoder and feature extractor."""
    model = model_of(family)
    encoder = model.wav2vec2 if family == "ctc" else model.get_encoder() if family == "whisper" else model
    return encoder, AutoFeatureExtractor.from_pretrained(folder)


def by_hand(family: str, folder: Path, sound: np.ndarray) -> list[np.ndarray]:
    """The layers of one sound, from the first layer's input on: real frames only. Each (T, 32)."""
    model, prepare = library(family, folder)
    inputs = prepare(sound, sampling_rate=16_000, return_tensors="pt")
    mask = inputs.pop("attention_mask", None) if family == "w2v-bert" else None
    inputs.pop("attention_mask", None)
    more = {} if mask is None else {"attention_mask": mask}
    with torch.inference_mode():
        output = model(**inputs, **more, output_hidden_states=True)
    real = output.last_hidden_state.shape[1] if mask is None else int(mask.sum())
    if family == "whisper":
        real = -(-len(sound) // 320)
    layers = [*output.hidden_states[:-1], output.last_hidden_state]
    assert len(layers) == 4
    return [layer[0, :real].double().numpy() for layer in layers]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_is_the_mean_and_deviation_over_its_own_frames(
    family: str, folders: Any, plain: Any, turns: Any
) -> None:
    order = (0, 3, 2, 1)
    every = vectors(extractor(folders(family), layers=order, pooling="mean+std"), turns)
    for turn, row, side_by_side in zip(turns, vectors(plain(family), turns), every, strict=True):
        layers = by_hand(family, folders(family), read_audio(turn.audio))
        np.testing.assert_allclose(row, layers[-1].mean(0), **CLOSE)
        pooled = [pool(layers[k], 0) for k in order for pool in (np.mean, np.std)]
        np.testing.assert_allclose(side_by_side, np.concatenate(pooled), **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_threads_and_neighbours_change_nothing(family: str, folders: Any, plain: Any, turns: Any) -> None:
    pad = {"pad": "own"} if family == "whisper" else {}
    one_by_one = extractor(folders(family), **pad) if pad else plain(family)
    alone = np.concatenate([vectors(one_by_one, [turn]) for turn in turns])
    together = extractor(folders(family), seconds_budget=60, threads=2, **pad)
    for budget in (60, 2.5):
        together._encoder.seconds_budget = budget
        np.testing.assert_allclose(vectors(together, [*turns, *turns]), np.concatenate([alone, alone]), **CLOSE)


@pytest.mark.parametrize(
    ("family", "together"),
    [("wav2vec2", True), ("hubert", True), ("wavlm-large", True), ("w2v-bert", True), ("data2vec", False)],
)
def test_padding_is_used_only_if_it_changes_nothing(family: str, together: bool, plain: Any) -> None:
    """data2vec's positional convolutions are stacked and normalised: what is behind a turn reaches into it."""
    encoder = plain(family)._encoder
    groups = {encoder.prepared(voice(seconds)).group for seconds in (0.5, 0.9)}
    assert len(groups) == (1 if together else 2)


def test_the_library_alone_would_let_padding_into_a_group_norm(folders: Any) -> None:
    """Why the convolutions run on one window: in wav2vec 2.0 base a padded batch moves a turn's own frames."""
    model = model_of("wav2vec2")
    sound = torch.from_numpy(voice(0.6))
    padded = torch.nn.functional.pad(sound, (0, 16_000))
    mask = (torch.arange(len(padded)) < len(sound)).long()
    with torch.inference_mode():
        alone = model(sound[None]).last_hidden_state[0]
        batched = model(padded[None], attention_mask=mask[None]).last_hidden_state[0, : len(alone)]
    assert (alone - batched).abs().max() > 0.01


def test_long_turns_are_read_in_windows_and_weighed_by_frames(folders: Any, tmp_path: Path) -> None:
    sound = voice(3.1)
    path = wav(tmp_path / "long.wav", sound)
    turn = Utterance("long", "", audio=MediaSpan(path, "-"))
    found = vectors(extractor(folders("wavlm"), window_seconds=1.5, seconds_budget=60), [turn])[0]
    parts = np.array_split(read_audio(turn.audio), 3)  # type: ignore[arg-type]
    frames = np.concatenate([by_hand("wavlm", folders("wavlm"), part)[-1] for part in parts])
    np.testing.assert_allclose(found, frames.mean(0), **CLOSE)


def test_whispers_own_padding_reads_the_next_second_only(folders: Any, turns: Any) -> None:
    """The same layers on fewer positions: the library's own method, told that it has so many."""
    made = extractor(folders("whisper"), pad="own", layers=(0, 1, 3), seconds_budget=60)
    found = vectors(made, turns)
    model, prepare = model_of("whisper").get_encoder(), AutoFeatureExtractor.from_pretrained(folders("whisper"))
    for turn, row in zip(turns, found, strict=True):
        sound = read_audio(turn.audio)
        length = -(-len(sound) // 16_000)
        model.config.max_source_positions = 50 * length
        positions = torch.nn.Embedding.from_pretrained(
            model_of("whisper").encoder.embed_positions.weight[: 50 * length]
        )
        model.embed_positions = positions
        silent = np.pad(sound, (0, length * 16_000 - len(sound)))
        mel = prepare(silent, sampling_rate=16_000, return_tensors="pt", padding=False)["input_features"]
        with torch.inference_mode():
            output = model(mel, output_hidden_states=True)
        real = -(-len(sound) // 320)
        layers = [*output.hidden_states[:-1], output.last_hidden_state]
        np.testing.assert_allclose(row, np.concatenate([layers[k][0, :real].mean(0) for k in (0, 1, 3)]), **CLOSE)


def test_moonshines_layers_are_its_encoders(turns: Any, tmp_path: Path) -> None:
    """Its configuration says num_hidden_layers of the decoder."""
    size = {"encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2, "hidden_size": 32}
    layers = {"encoder_num_hidden_layers": 5, "decoder_num_hidden_layers": 2}
    config = MoonshineConfig(vocab_size=50, intermediate_size=48, initializer_range=0.3, **size, **layers)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MoonshineModel(config).eval()
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(tmp_path)
    deep = vectors(extractor(tmp_path, layers="last4"), turns)
    some = vectors(extractor(tmp_path, layers=(0, 3, 5), seconds_budget=60), turns)
    for turn, four, side_by_side in zip(turns, deep, some, strict=True):
        sound = torch.from_numpy(read_audio(turn.audio))[None]
        with torch.inference_mode():
            output = model.get_encoder()(input_values=sound, output_hidden_states=True)
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        layer = [state[0].double().mean(0).numpy() for state in states]
        np.testing.assert_allclose(four, np.mean(layer[-4:], axis=0), **CLOSE)
        np.testing.assert_allclose(side_by_side, np.concatenate([layer[k] for k in (0, 3, 5)]), **CLOSE)
    assert "layers up to 6, found 5 layers" in refusal(tmp_path, turns, layers=6)


def test_bfloat16_stays_near(folders: Any, plain: Any, turns: Any) -> None:
    for family in ("wavlm", "w2v-bert"):
        exact = vectors(plain(family), turns)
        short = vectors(extractor(folders(family), precision="bfloat16", seconds_budget=60), turns)
        cosine = (exact * short).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(short, axis=1)
        assert cosine.min() > 0.98


def test_old_names_of_normalised_weights_are_read(plain: Any, turns: Any, tmp_path: Path) -> None:
    """Most checkpoints on the hub store direction and length as weight_v and weight_g."""
    folder = save_speech(tmp_path, "wavlm")
    weights = load_file(folder / "model.safetensors")
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): values
        for name, values in weights.items()
    }
    assert set(old) != set(weights)
    save_file(old, folder / "model.safetensors", {"format": "pt"})
    np.testing.assert_allclose(vectors(extractor(folder), turns), vectors(plain("wavlm"), turns), **CLOSE)


def test_the_fingerprint_follows_the_files_and_not_their_place_or_the_machine(tmp_path: Path) -> None:
    here, there = (save_speech(tmp_path / name, "hubert") for name in "ab")
    torch.save({}, there / "pytorch_model.bin")  # is not read, so does not count
    one, other = extractor(here), extractor(there, seconds_budget=8, threads=3)
    assert one.spec == other.spec
    assert set(one.spec.weights) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    for settings in ({"layers": 3}, {"pooling": "mean+std"}, {"precision": "bfloat16"}, {"window_seconds": 10}):
        assert extractor(here, **settings).spec != one.spec
    config = json.loads((there / "config.json").read_text()) | {"hidden_act": "relu"}
    (there / "config.json").write_text(json.dumps(config))
    assert extractor(there).spec != one.spec


def test_one_broken_turn_leaves_the_others(plain: Any, turns: Any, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"RIFFnoise")
    silent = wav(tmp_path / "silent.wav", np.zeros(16_000, np.float32))
    broken = [
        Utterance("n", "", audio=MediaSpan(tmp_path / "noise.wav", "-")),
        Utterance("m", ""),
        Utterance("s", "", audio=MediaSpan(silent, "-")),
    ]
    done: list[int] = []
    outcomes = plain("hubert").extract([turns[0], *broken, turns[1]], done.append)
    kinds = [outcome.status if isinstance(outcome, Failure) else type(outcome) for outcome in outcomes]
    assert kinds == [Feature, Status.CORRUPT_MEDIA, Status.MISSING_MEDIA, Status.SILENT, Feature]
    assert sum(done) == 5


def test_only_many_blocks_are_decoded_ahead(
    folders: Any, plain: Any, turns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = vectors(plain("hubert"), turns)
    monkeypatch.setattr("bigfusion.extractors.audio.transformer.BLOCK", 3)
    found = vectors(extractor(folders("hubert"), threads=2), turns * 3)
    np.testing.assert_allclose(found, np.concatenate([expected] * 3), **CLOSE)


def test_batches_by_hand() -> None:
    """A budget of 3 s: 2 s alone beside a second of padding would not fit; windows of another group stay apart."""
    ready = [
        speech_encoder.Prepared(np.zeros(1, np.float32), None, 5, round(16_000 * seconds), group)
        for seconds, group in ((1, "a"), (2, "a"), (1.5, "a"), (1.5, "b"), (1, "a"), (9, "b"))
    ]
    assert sorted(map(sorted, batches(ready, 3.0))) == [[0, 2], [1], [3], [4], [5]]


def refusal(folder: Path, turns: list[Utterance], **settings: Any) -> str:
    with pytest.raises(ExtractionError) as found:
        extractor(folder, **settings).extract(turns)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_is_no_speech_encoder_is_refused_in_a_line(folders: Any, turns: Any, tmp_path: Path) -> None:
    assert "found no such folder" in refusal(tmp_path / "nowhere", turns)
    folder = save_speech(tmp_path / "pickle", "wavlm")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "expected model.safetensors" in refusal(folder, turns)
    folder = save_speech(tmp_path / "spoilt", "wavlm")
    (folder / "model.safetensors").write_bytes(b"noise")
    assert "expected a speech encoder" in refusal(folder, turns)
    folder = save_speech(tmp_path / "half", "wavlm")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layers.1.feed_forward.output_dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "expected all of the encoder's weights" in refusal(folder, turns)
    folder = save_speech(tmp_path / "rate", "wavlm")
    config = json.loads((folder / "preprocessor_config.json").read_text()) | {"sampling_rate": 8000}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    assert "16000 Hz, found 8000" in refusal(folder, turns)
    assert "layers up to 4, found 3" in refusal(folders("hubert"), turns, layers=4)
    assert "alone knows pad" in refusal(folders("hubert"), turns, pad="own")
    assert "at most 30 for Whisper" in refusal(folders("whisper"), turns, window_seconds=40)


@pytest.mark.parametrize("layers", ["top", -1, [], [3, -1], 1.5, True])
def test_layers_that_are_none_are_one_message(layers: Any) -> None:
    with pytest.raises(ValidationError) as found:
        SpeechEncoderSettings(model="a", layers=layers)
    assert found.value.error_count() == 1
    assert "expected 'last', 'last4', a layer's number" in str(found.value)


def test_a_checkpoints_own_code_is_never_run(turns: Any, tmp_path: Path) -> None:
    folder = save_speech(tmp_path, "wavlm")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert "expected a speech encoder" in refusal(folder, turns)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "part"), [("config.json", "AutoModel"), ("preprocessor_config.json", "AutoFeatureExtractor")]
)
def test_transformers_own_class_never_stands_in_for_a_checkpoints_code(
    file: str, part: str, turns: Any, tmp_path: Path
) -> None:
    folder = save_speech(tmp_path, "wavlm")
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, "auto_map": {"AutoModelForCTC": "own.Own"}}))
    assert len(vectors(extractor(folder), turns[:1])) == 1
    (folder / file).write_text(json.dumps({**config, "auto_map": {part: "own.Own"}}))
    assert f"expected a model of transformers' own classes, found code that comes with it ({part} in {file})" in (
        refusal(folder, turns)
    )


def test_models_of_text_or_of_fixed_pictures_of_sound_are_refused(turns: Any, tmp_path: Path) -> None:
    """The Audio Spectrogram Transformer pads each sound to ten seconds, and says of no frame that it is padding."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ASTModel(ASTConfig(**small, max_length=128)).save_pretrained(tmp_path / "ast")
    ASTFeatureExtractor(max_length=128).save_pretrained(tmp_path / "ast")
    assert "frames that grow with the sound" in refusal(tmp_path / "ast", turns)
    folder = save_speech(tmp_path / "text", "wavlm")
    BertModel(BertConfig(**small, vocab_size=20)).save_pretrained(folder)
    assert "expected input_ids from its feature extractor" in refusal(folder, turns)
