"""``level = "frame"``: the frames that each extractor pools, with times, beside a vector that is the same as ever."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers import models as kinds
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from bigfusion.extractors.audio import opensmile, transformer, whisper
from bigfusion.extractors.audio.turn_times import times_of
from bigfusion.extractors.base import Failure, Feature, Outcome
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.frames import FramedFeature
from bigfusion.extractors.text import encoder, sentence_modules
from bigfusion.extractors.text import transformer as sentences
from bigfusion.extractors.text.spans import token_spans
from bigfusion.extractors.visual import image_encoder, speaker_face
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import Context, Line, MediaSpan, Status, Utterance
from bigfusion.pipeline.sequences import NO_SPAN, Frames, spans_of
from tests.helpers.clip_maker import sine, span, write_clip
from tests.helpers.pictures import blank, collins, hopper, pasted
from tests.helpers.tiny_encoder import SENTENCES, save_roberta
from tests.helpers.tiny_images import saved
from tests.helpers.tiny_speech import FAMILIES, save_speech, voice
from tests.helpers.whisper_weights import whisper_base

pytestmark = pytest.mark.usefixtures("one_thread", "one_densenet", "one_reader")

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
"""Between frames pooled by hand in float64 and the vector, float32, numbers of unit scale."""


BURST = 0.03 * np.sin(2 * np.pi * 1000 * np.arange(320) / 16_000).astype(np.float32)
"""20 ms, hardly louder than the voice around it, so that what normalises a turn moves by little."""
SLOW = pytest.mark.slow


def heard(folder: Path, name: str, sound: np.ndarray) -> Utterance:
    path = write_clip(folder / f"{name}.wav", sound=sound[None], rate=16_000, audio="pcm_s16le")
    return Utterance(name, "", audio=MediaSpan(path, "-"))


def both(make: Callable[..., Any], utterances: Sequence[Utterance]) -> list[FramedFeature]:
    """The outcomes with frames. Their vectors are bit for bit those without."""
    plain, found = make(level="utterance").extract(utterances), make(level="frame").extract(utterances)
    for one, other in zip(plain, found, strict=True):
        assert type(one) is Feature, one
        assert isinstance(other, FramedFeature), other
        np.testing.assert_array_equal(one.vector, other.vector)
        assert one.note == other.note
        assert other.frames.values.dtype == np.float32
        assert len(other.frames.values) > 0
    return found


def check_times(frames: Frames, seconds: float) -> np.ndarray:
    """Times rise and lie within the clip."""
    assert frames.times is not None
    assert frames.times.shape == frames.values.shape[:1]
    assert frames.times.dtype == np.float64
    assert (np.diff(frames.times) >= 0).all()
    assert frames.times[0] >= 0
    assert frames.times[-1] < seconds
    return frames.times


def same(found: Outcome, expected: Outcome, **close: Any) -> None:
    assert isinstance(found, FramedFeature)
    assert isinstance(expected, FramedFeature)
    assert found.frames.values.shape == expected.frames.values.shape
    np.testing.assert_allclose(found.frames.values, expected.frames.values, **(close or CLOSE))
    if expected.frames.times is None:
        assert found.frames.times is None
    else:
        np.testing.assert_array_equal(found.frames.times, expected.frames.times)


# Sound


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("turns")
    return [heard(folder, f"{n}", voice(seconds, n)) for n, seconds in enumerate((0.41, 1.7, 0.93, 1.1))]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("models")
    return cache(lambda family: save_speech(home / family, family))


@pytest.fixture(scope="module")
def framed(models: Any) -> Any:
    """A family's extractor with frames of its first layer's input beside those of its last, its model loaded once."""
    return cache(lambda family: speech(models(family), layers=(0, 3), pooling="mean+std"))


def speech(folder: Path, **settings: Any) -> Any:
    chosen = {"model": str(folder), "device": "cpu", "threads": 1, "level": "frame"} | settings
    return transformer.make(transformer.SETTINGS(**chosen), sha256_of)


def length(turn: Utterance) -> float:
    assert turn.audio is not None
    return len(read_audio(turn.audio)) / 16_000


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_of_a_speech_encoder_pooled_are_the_vector_every_20_ms(
    family: str, models: Any, framed: Any, turns: Any
) -> None:
    plain = speech(models(family), layers=(0, 3), pooling="mean+std", level="utterance")
    found = both(lambda level: framed(family) if level == "frame" else plain, turns)
    for turn, outcome in zip(turns, found, strict=True):
        values = outcome.frames.values.astype(np.float64)
        pooled = [pool(layer, 0) for layer in (values[:, :32], values[:, 32:]) for pool in (np.mean, np.std)]
        np.testing.assert_allclose(np.concatenate(pooled), outcome.vector, **CLOSE)
        times = check_times(outcome.frames, length(turn))
        np.testing.assert_allclose(times, np.arange(len(values)) * 0.02)
        assert 0 <= length(turn) / 0.02 - len(values) < 2.5 or (
            family == "whisper" and len(values) == np.ceil(length(turn) / 0.02)
        )


def test_several_layers_stand_side_by_side_in_a_row(models: Any, turns: Any) -> None:
    found = both(lambda level: speech(models("wavlm"), layers=(0, 3, 2), level=level), turns[:2])
    assert found[0].frames.values.shape[1] == 96
    np.testing.assert_allclose(found[1].frames.values.mean(0), found[1].vector, **CLOSE)


@pytest.mark.parametrize(
    "family", ["wav2vec2", *(pytest.param(name, marks=SLOW) for name in ("wavlm-large", "w2v-bert", "whisper"))]
)
def test_batch_mates_and_padding_change_no_frame_of_sound(family: str, models: Any, turns: Any) -> None:
    alone = [speech(models(family)).extract([turn])[0] for turn in turns]
    for budget, threads in ((2.5, 1), (60, 2)):
        together = speech(models(family), seconds_budget=budget, threads=threads).extract([*turns, *turns])
        for found, expected in zip(together, [*alone, *alone], strict=True):
            same(found, expected)


def test_windows_of_a_long_turn_count_on_from_its_beginning(models: Any, tmp_path: Path) -> None:
    turn = heard(tmp_path, "long", voice(3.1))
    (outcome,) = both(lambda level: speech(models("wavlm"), window_seconds=1.5, level=level), [turn])
    begins = [0, 16_534, 16_534 + 16_533]  # 49,600 samples in three
    expected = np.concatenate([(begin + 320 * np.arange(51)) / 16_000 for begin in begins])
    np.testing.assert_allclose(check_times(outcome.frames, 3.1), expected)
    np.testing.assert_allclose(outcome.frames.values.mean(0), outcome.vector, **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_burst_at_one_second_shows_in_the_frame_of_that_time(family: str, framed: Any, tmp_path: Path) -> None:
    """In the layers' input, since attention spreads a burst over the turn."""
    quiet = voice(2.0) / 10
    burst = quiet.copy()
    burst[16_000:16_320] += BURST
    before, after = framed(family).extract([heard(tmp_path, "quiet", quiet), heard(tmp_path, "burst", burst)])
    moved = np.abs(after.frames.values - before.frames.values)[:, :32].sum(1)
    at = after.frames.times[moved.argmax()]
    assert abs(at - 1.0) <= 0.02 + 1e-9, "the frames of 20 ms that hold the burst from 1.00 to 1.02 s"


def test_a_failure_stays_one(models: Any, turns: Any, tmp_path: Path) -> None:
    silent = heard(tmp_path, "silent", np.zeros(16_000, np.float32))
    found = speech(models("hubert")).extract([turns[0], silent, Utterance("m", ""), turns[1]])
    kinds = [outcome.status if isinstance(outcome, Failure) else type(outcome) for outcome in found]
    assert kinds == [FramedFeature, Status.SILENT, Status.MISSING_MEDIA, FramedFeature]


def test_a_model_without_strides_is_refused_in_a_line(models: Any, turns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = speech(models("hubert"))
    made._encoder._model.config.__dict__.pop("conv_stride")
    monkeypatch.delattr(type(made._encoder._model.config), "conv_stride", raising=False)
    with pytest.raises(ExtractionError, match=r"expected strides .* found none in hubert; set level"):
        made.extract(turns[:1])


def test_times_by_hand() -> None:
    assert times_of([(16_000, 2), (8_000, 1)], 320).tolist() == [0.0, 0.02, 1.0]


@pytest.mark.slow
def test_whispers_frames_pooled_are_the_vector(turns: Any, tmp_path: Path) -> None:
    """The genuine weights of Whisper base."""
    (tmp_path / "model").mkdir()
    folder = whisper_base(tmp_path / "model")

    def make(level: str, **settings: Any) -> Any:
        chosen = {"model": str(folder), "pad": "own", "device": "cpu", "level": level, "threads": 1} | settings
        return whisper.make(whisper.SETTINGS(**chosen), sha256_of)

    found = both(make, turns)
    for turn, outcome in zip(turns, found, strict=True):
        assert outcome.frames.values.shape == (np.ceil(length(turn) / 0.02), 512)
        np.testing.assert_allclose(outcome.frames.values.mean(0), outcome.vector, rtol=1e-4, atol=1e-4)
        times = check_times(outcome.frames, length(turn))
        np.testing.assert_allclose(times, np.arange(len(times)) * 0.02)
    for outcome, expected in zip(make("frame", threads=2).extract([*turns, *turns]), [*found, *found], strict=True):
        same(outcome, expected, rtol=0, atol=1e-4)
    quiet = voice(2.0) / 10
    burst = quiet.copy()
    burst[16_000:16_320] += BURST
    before, after = make("frame").extract([heard(tmp_path, "quiet", quiet), heard(tmp_path, "burst", burst)])
    moved = np.abs(after.frames.values - before.frames.values).sum(1)
    assert abs(after.frames.times[moved.argmax()] - 1.0) <= 0.04 + 1e-9


def smile(level: str, feature_set: Any = "IS10", threads: int = 1) -> Any:
    return opensmile.make(opensmile.SETTINGS(feature_set=feature_set, threads=threads, level=level), sha256_of)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "width", "window"),
    [
        pytest.param("IS10", 38, 0.025, marks=SLOW),
        pytest.param("IS13", 65, 0.06, marks=SLOW),
        ("emobase", 26, 0.025),
        pytest.param("eGeMAPSv02", 25, 0.02, marks=SLOW),
    ],
)
def test_descriptors_are_opensmile_s_with_its_times(name: str, width: int, window: float, tmp_path: Path) -> None:
    """A burst from 1.00 to 1.05 s is loudest in a window that covers some of it."""
    sound = voice(3.0) / 100
    sound[16_000:16_800] += sine(1, 16_000)[:800] / 2
    turn = heard(tmp_path, "burst", sound)
    (outcome,) = both(lambda level: smile(level, name), [turn])
    frames = outcome.frames
    assert frames.values.shape[1] == len(frames.columns) == width
    times = check_times(frames, 3.0)
    np.testing.assert_allclose(times[:-1], np.arange(len(times) - 1) * 0.01, atol=1e-6)
    loud = next(n for n, column in enumerate(frames.columns) if "oudness" in column or "lengthL1norm" in column)
    begin = times[frames.values[:, loud].argmax()]
    assert begin < 1.05
    assert begin + window > 1.0


@pytest.mark.parametrize("name", [pytest.param("IS10", marks=SLOW), "emobase"])
def test_the_means_among_the_functionals_are_those_of_the_descriptors(name: str, turns: Any) -> None:
    """The functionals leave out a few rows at the ends: within a tenth of a descriptor's deviation in 1.7 s."""
    made = smile("frame", name)
    (outcome,) = made.extract([turns[1]])
    columns = {column: outcome.vector[n] for n, column in enumerate(made.columns)}
    for n, column in enumerate(outcome.frames.columns):
        if column.startswith(("F0", "jitter", "shimmer")):  # over the voiced rows alone
            continue
        rows = outcome.frames.values[:, n].astype(np.float64)
        assert abs(rows.mean() - columns[f"{column}_amean"]) <= 0.1 * rows.std() + 1e-6, column


@SLOW
def test_threads_share_no_engine_of_descriptors(turns: Any) -> None:
    one, many = smile("frame").extract(turns * 2), smile("frame", threads=3).extract(turns * 2)
    for found, expected in zip(many, one, strict=True):
        same(found, expected, rtol=0, atol=0)


# Pictures


def film(folder: Path, faces: str = "cccccccccccc", name: str = "film") -> Path:
    """Ten frames a second: c and h are two portraits that drift, a dot is nobody, w is white."""
    pictures = {"c": collins()[:512, :512], "h": hopper()[:512, :512]}
    views = []
    for number, letter in enumerate(faces):
        if letter in pictures:
            views.append(pasted(blank(240, 320), pictures[letter], 20 + 2 * number, 10 + number, 200))
        else:
            views.append(blank(240, 320) if letter == "." else np.full((240, 320, 3), 255, np.uint8))
    return write_clip(folder / f"{name}.mp4", views, fps=10)


def seen(path: Path, start: float | None = None, end: float | None = None) -> Utterance:
    return Utterance(path.stem, "", visual=span(path, start, end))


def images(folder: Path, **settings: Any) -> Any:
    chosen = {"model": str(folder), "device": "cpu", "threads": 1, "level": "frame"} | settings
    return image_encoder.make(image_encoder.SETTINGS(**chosen), sha256_of)


@pytest.mark.parametrize("on", ["frame", "face"])
@pytest.mark.parametrize("size", [2, pytest.param(1, marks=SLOW), pytest.param(16, marks=SLOW)])
def test_pictures_pooled_are_the_vector_and_have_the_times_of_their_frames(on: str, size: int, tmp_path: Path) -> None:
    folder, path = saved(tmp_path / "model", "vit"), film(tmp_path)
    make = lambda level: images(folder, on=on, level=level, batch_size=size, pool=("mean", "std", "max"))  # noqa: E731
    (outcome,) = both(make, [seen(path)])
    values = outcome.frames.values
    np.testing.assert_array_equal(np.concatenate([values.mean(0), values.std(0), values.max(0)]), outcome.vector)
    np.testing.assert_allclose(check_times(outcome.frames, 1.2), [0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-6)
    (part,) = both(make, [seen(path, 0.5, 1.0)])
    np.testing.assert_allclose(check_times(part.frames, 0.5), [0, 0.2, 0.4], atol=1e-6)


def test_a_picture_that_changes_at_600_ms_shows_in_the_row_of_that_time(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "vit")
    (calm,) = images(folder, on="frame").extract([seen(film(tmp_path, ".........", "calm"))])
    (flash,) = images(folder, on="frame").extract([seen(film(tmp_path, "......w..", "flash"))])
    moved = np.abs(flash.frames.values - calm.frames.values).sum(1)
    assert flash.frames.times[moved.argmax()] == pytest.approx(0.6)


@pytest.mark.parametrize("kind", ["image_encoder", "speaker_face"])
def test_frames_without_the_face_have_no_row(kind: str, tmp_path: Path) -> None:
    path = film(tmp_path, "cccccc....cccccc")
    folder = saved(tmp_path / "model", "vit")
    make = {"image_encoder": lambda level: images(folder, level=level), "speaker_face": faces}[kind]
    (outcome,) = both(make, [seen(path)])
    np.testing.assert_allclose(check_times(outcome.frames, 1.6), [0, 0.2, 0.4, 1.0, 1.2, 1.4], atol=1e-6)
    np.testing.assert_allclose(outcome.frames.values.mean(0), outcome.vector, rtol=1e-5, atol=1e-5)


def faces(level: str = "frame", **settings: Any) -> Any:
    chosen: dict[str, Any] = {"threads": 1, "device": "cpu", "level": level} | settings
    return speaker_face.make(speaker_face.SETTINGS(**chosen), sha256_of)


@pytest.mark.parametrize("settings", [{"pool": "mean+std"}, {"speaker": "talking", "pool": "mean+std"}])
def test_faces_pooled_are_the_vector(settings: dict[str, Any], tmp_path: Path) -> None:
    path = film(tmp_path)
    (outcome,) = both(lambda level: faces(level, **settings), [seen(path, 0.1)])
    values = outcome.frames.values
    assert values.shape[1] == 342
    np.testing.assert_array_equal(np.concatenate([values.mean(0), values.std(0)]), outcome.vector)
    step = 0.1 if "speaker" in settings else 0.2
    np.testing.assert_allclose(check_times(outcome.frames, 1.1), np.arange(len(values)) * step, atol=1e-6)


@SLOW
def test_clips_side_by_side_keep_their_own_faces(tmp_path: Path) -> None:
    clips = [
        seen(film(tmp_path, letters, f"{n}")) for n, letters in enumerate(("cccccc", "hhhhhhhhhh", "....", "hhcc"))
    ]
    one, many = faces().extract(clips * 2), faces(threads=3).extract(clips * 2)
    for expected, found in zip(one, many, strict=True):
        if isinstance(expected, Failure):
            assert found == expected
        else:
            same(found, expected, rtol=0, atol=0)


# Words


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_roberta(tmp_path_factory.mktemp("roberta"))


def words(folder: Path, level: str = "frame", **settings: Any) -> Any:
    chosen: dict[str, Any] = {"model": str(folder), "device": "cpu", "threads": 1, "level": level} | settings
    return encoder.make(encoder.SETTINGS(**chosen), sha256_of)


def told(context: int = 0) -> list[Utterance]:
    lines = [Line("AB"[n % 2], text) for n, text in enumerate(SENTENCES)]
    return [
        Utterance(
            f"{n}", line.text, context=Context(line.speaker, tuple(lines[max(n - context, 0) : n])) if context else None
        )
        for n, line in enumerate(lines)
    ]


@pytest.mark.parametrize("settings", [{}, {"layers": "last4"}, {"context": 2}])
def test_tokens_pooled_are_the_vector_and_have_no_times(settings: dict[str, Any], roberta: Path) -> None:
    utterances = told(settings.get("context", 0))
    found = both(lambda level: words(roberta, level, **settings), utterances)
    for outcome in found:
        np.testing.assert_allclose(outcome.frames.values.mean(0), outcome.vector, **CLOSE)
        assert outcome.frames.times is None
    again = words(roberta, token_budget=1, **settings).extract([*utterances[::-1], Utterance("n", " "), *utterances])
    assert isinstance(again.pop(len(utterances)), Failure)
    for outcome, expected in zip(again, [*found[::-1], *found], strict=True):
        same(outcome, expected)


def pieces(outcome: Outcome, transcript: str) -> list[str | None]:
    """What each token stands for; None for none."""
    assert isinstance(outcome, FramedFeature)
    spans = spans_of(outcome.frames)
    assert spans is not None
    assert spans.shape == (len(outcome.frames.values), 2)
    assert spans.dtype == np.int32
    assert ((spans >= 0) & (spans <= len(transcript)) | (spans == NO_SPAN)).all()
    return [transcript[start:end] if start >= 0 else None for start, end in spans]


def letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("settings", [{}, {"context": 3}, {"context": 2, "following": 1}])
def test_each_token_has_the_characters_of_the_transcript_that_it_stands_for(
    settings: dict[str, Any], roberta: Path
) -> None:
    """As the manifest holds it, with the white space around it."""
    lines = [Line("AB"[n % 2], f"{' ' * n}{text}  ") for n, text in enumerate(SENTENCES)]
    before, after = settings.get("context", 0), settings.get("following", 0)
    utterances = [
        Utterance(
            f"{n}",
            line.text,
            context=Context(line.speaker, tuple(lines[max(n - before, 0) : n]), tuple(lines[n + 1 : n + 1 + after]))
            if settings
            else None,
        )
        for n, line in enumerate(lines)
    ]
    tokenizer = AutoTokenizer.from_pretrained(roberta)
    for text, outcome in zip(SENTENCES, words(roberta, **settings).extract(utterances), strict=True):
        transcript = utterances[SENTENCES.index(text)].text
        found = pieces(outcome, transcript)
        special, own = (found[:1] + found[-1:], found[1:-1]) if not settings else ([], found)
        assert set(special) <= {None}
        ids = tokenizer(f" {text}" if settings else text, add_special_tokens=False)["input_ids"]
        for piece, token in zip(own, ids, strict=True):
            spelled = tokenizer.decode([token]).strip()
            assert piece == spelled or "\ufffd" in spelled or not spelled, "a byte of a character is that character"
        if text.isascii():
            assert letters("".join(piece or "" for piece in own)) == letters(text)
        assert set(letters(text)) == {letter for piece in own for letter in piece or ""}


def test_tokens_behind_a_cut_have_no_span_and_those_before_it_have(roberta: Path) -> None:
    long = max(SENTENCES, key=len)
    for context in (None, Context("A", (Line("B", "What?"),))):
        settings = {"context": 1} if context else {}
        turn = Utterance("u", long, context=context)
        (outcome,) = words(roberta, max_tokens=20, **settings).extract([turn])
        read = "".join(piece or "" for piece in pieces(outcome, long))
        assert read
        assert letters(long).startswith(letters(read))
        assert len(letters(read)) < len(letters(long))


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_a_sentence_model_s_tokens_have_their_characters_and_a_prompt_s_have_none(
    lower: bool, pooled: bool, roberta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lower case may have more letters than there were: two for İ."""
    read = sentence_modules.read
    monkeypatch.setattr(
        sentence_modules, "read", lambda *given: replace(read(*given), lower=lower, pools_prompt=pooled)
    )
    texts = ["  İI said NO. İ! ", "What?", "What? "]
    prompt = "Say what is felt: "
    chosen: dict[str, Any] = {"model": str(roberta), "device": "cpu", "threads": 1, "level": "frame", "prompt": prompt}
    extractor = sentences.make(sentences.SETTINGS(**chosen, pooling="mean"), sha256_of)
    tokenizer = AutoTokenizer.from_pretrained(roberta)
    told = prompt.strip().lower() if lower else prompt.strip()
    prompted = len(tokenizer(told, add_special_tokens=False)["input_ids"]) + 1
    for text, outcome in zip(texts, extractor.extract([Utterance(text, text) for text in texts]), strict=True):
        found = pieces(outcome, text)
        own = found[prompted if pooled else 0 :]
        assert set(found[: prompted if pooled else 0]) <= {None}
        assert own[-1] is None, "the closing token"
        assert {letter for piece in own for letter in piece or ""} == set(letters(text))
        said = [piece for piece in dict.fromkeys(own[:-1]) if piece]
        assert letters("".join(said)).startswith(letters(text)[:3])


class Built:
    """Tokenizers that normalise, part and mark words in other ways than RoBERTa's."""

    @staticmethod
    def wordpiece() -> Any:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "ha", "##ha", "no", ".", "u", "##ber"]
        made = Tokenizer(kinds.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        return PreTrainedTokenizerFast(tokenizer_object=made, cls_token="[CLS]", sep_token="[SEP]")

    @staticmethod
    def unigram() -> Any:
        pieces = [("<unk>", 0.0), ("\u2581", -3.0), ("\u2581so", -1.0), ("株式会社", -1.0), ("fi", -1.0), ("ne", -2.0)]
        made = Tokenizer(kinds.Unigram(pieces, 0, False))
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")

    @staticmethod
    def bytes_with_their_space() -> Any:
        alphabet = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        made = Tokenizer(kinds.BPE(alphabet, []))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.post_processor = processors.ByteLevel(trim_offsets=False)
        return PreTrainedTokenizerFast(tokenizer_object=made)


def read_by(tokenizer: Any, transcript: str, **more: Any) -> list[str | None]:
    spans = token_spans(tokenizer, transcript, **more)
    assert spans is not None
    return [transcript[start:end] if (start, end) != NO_SPAN else None for start, end in spans]


def test_offsets_are_those_before_a_tokenizer_normalises() -> None:
    accents = " CAFÉ hahaha\u200b \u0075\u0308ber no."  # a letter with its dots apart, as no manifest has it
    assert read_by(Built.wordpiece(), accents) == [
        None, "CAFÉ", "ha", "ha", "ha", "u", "ber", "no", ".", None,
    ], "what a tokenizer takes away, no token stands for"  # fmt: skip
    assert read_by(Built.wordpiece(), accents, longest=4) == [None, "CAFÉ", "ha", None]
    assert read_by(Built.wordpiece(), accents, before=" ", special=False)[:3] == ["CAFÉ", "ha", "ha"]
    assert read_by(Built.wordpiece(), "\u200b", before=" ", special=False) == []
    ligatures = "so ㍿ ﬁne"  # one character each that becomes four, two
    found = read_by(Built.unigram(), ligatures)
    assert found == ["so", None, "㍿", None, "ﬁ", "ne"], "a mark of a space stands for no character"
    spaced = read_by(Built.bytes_with_their_space(), "  a é", before=" ", special=False)
    assert spaced == [None, "a", None, "é", "é"]


def test_a_tokenizer_that_tells_no_offsets_gives_none() -> None:
    assert token_spans(SimpleNamespace(is_fast=False), "What?") is None


def test_the_first_token_is_the_vector_of_cls(roberta: Path) -> None:
    for outcome in both(lambda level: words(roberta, level, pooling="cls"), told()):
        np.testing.assert_array_equal(outcome.frames.values[0], outcome.vector)


@pytest.mark.parametrize("settings", [{"pooling": "mean"}, {"pooling": "mean", "prompt": "Say what is felt: "}])
def test_a_sentence_model_s_tokens_pooled_are_the_vector(settings: dict[str, Any], roberta: Path) -> None:
    def make(level: str, **more: Any) -> Any:
        chosen: dict[str, Any] = {"model": str(roberta), "device": "cpu", "threads": 1, "level": level}
        return sentences.make(sentences.SETTINGS(**(chosen | settings | more)), sha256_of)

    utterances = [*told(), Utterance("again", SENTENCES[1])]
    found = both(make, utterances)
    for outcome in found:
        np.testing.assert_allclose(outcome.frames.values.mean(0), outcome.vector, **CLOSE)
        assert outcome.frames.times is None
    for outcome, expected in zip(make("frame", token_budget=1).extract(utterances), found, strict=True):
        same(outcome, expected)
    counts = [len(outcome.frames.values) for outcome in found]
    assert counts[1] == counts[-1]
    assert len(set(counts)) > 2


# The law


@pytest.mark.parametrize("make", [faces, smile])
def test_a_cell_without_frames_depends_on_none_of_this(make: Any) -> None:
    plain, framed = make("utterance").spec, make("frame").spec
    assert "level" not in plain.settings
    assert framed.settings == plain.settings | {"level": "frame"}
    assert (plain.name, plain.weights, plain.engine) == (framed.name, framed.weights, framed.engine)
    assert framed.module == f"{plain.module}_frames"
    code, more = (
        code_digests(module, stop=[f"{plain.module}:make", f"{plain.module}:SETTINGS"])
        for module in (plain.module, framed.module)
    )
    assert not {"Frames", "FramedFeature", "Kept"} & code.keys()
    assert code.items() <= more.items(), "the vector's own code runs with frames too"
