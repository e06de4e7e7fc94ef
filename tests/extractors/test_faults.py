"""One utterance's error is its own, whatever it is; what would befall the next one too is the run's."""

import errno
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import torch

from bigfusion.extractors.audio import opensmile
from bigfusion.extractors.audio.opensmile import AudioExtractor, AudioSettings
from bigfusion.extractors.base import Fault, Feature
from bigfusion.extractors.faults import fault, one_by_one, shielded
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.media.source import Source
from bigfusion.pipeline.schema import Utterance
from tests.helpers.clip_maker import sine, span, write_clip
from tests.helpers.pictures import blank, collins, pasted
from tests.helpers.tiny_encoder import SENTENCES, save_roberta

OWN = [
    ItemError("a.mp4: cannot be read (Permission denied)"),
    OSError(errno.EIO, "Input/output error"),
    ValueError("bad"),
    RuntimeError(""),
    AssertionError("two\nlines"),
]
OF_THE_RUN = [
    ExtractionError("no weights"),
    MemoryError(),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
    CancelledError(),
]


@pytest.mark.parametrize("error", OWN, ids=repr)
def test_an_utterances_own(error: Exception) -> None:
    reason = fault(error).reason
    assert "\n" not in reason
    assert str(error).split("\n", maxsplit=1)[0] in reason


@pytest.mark.parametrize("error", OF_THE_RUN, ids=repr)
def test_the_runs(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        fault(error)
    assert raised.value is error


def test_a_gpu_that_gives_up_is_the_runs() -> None:
    with pytest.raises(ExtractionError, match="lower token_budget, seconds_budget or batch_size"):
        fault(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))


def test_ctrl_c_is_nobodys_fault() -> None:
    def interrupted(utterance: Utterance, stop: threading.Event) -> Feature:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shielded(interrupted)(Utterance("a", ""), threading.Event())


def test_where_all_at_once_fails_each_is_tried_alone() -> None:
    calls: list[list[int]] = []

    def work(items: list[int]) -> list[float]:
        calls.append(items)
        return [1 / item for item in items]

    found = one_by_one(work, [1, 0, 2])  # type: ignore[arg-type]
    assert found[0::2] == [1, 0.5]
    assert isinstance(found[1], Fault)
    assert "ZeroDivisionError" in found[1].reason
    assert calls == [[1, 0, 2], [1], [0], [2]]


def test_one_clip_that_breaks_a_library_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [pasted(blank(240, 320), collins()[:512, :512], 60, 20, 200)] * 3
    paths = [write_clip(tmp_path / f"{name}.mp4", frames, sine(0.3, 16000)[None], fps=10) for name in "abc"]
    spoken = [Utterance(path.stem, "", audio=span(path), visual=span(path)) for path in paths]
    real = Source.decode

    def broken(source: Source, packet: object) -> list[object]:
        if source._path.name == "b.mp4":
            raise ZeroDivisionError("a sample rate of 0")
        return real(source, packet)

    monkeypatch.setattr(Source, "decode", broken)
    for extractor in (AudioExtractor(AudioSettings(threads=2)), VisualExtractor(VisualSettings(threads=2))):
        done: list[int] = []
        first, second, third = extractor.extract(spoken, done.append)
        assert isinstance(first, Feature)
        assert isinstance(third, Feature)
        assert second == Fault(
            "an error that nobody foresaw: ZeroDivisionError: a sample rate of 0; leave the utterance out, or report it"
        )
        assert sum(done) == 3


def test_an_error_of_the_run_ends_the_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.wav", sound=sine(0.3, 16000)[None], audio="pcm_s16le")

    def full(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(opensmile, "read_audio", full)
    with pytest.raises(OSError, match="Too many"):
        AudioExtractor(AudioSettings()).extract([Utterance("a", "", audio=span(path))] * 3)


@pytest.mark.parametrize("budget", [1, 512])
def test_a_sentence_that_no_tokenizer_takes_leaves_the_others(tmp_path: Path, budget: int) -> None:
    """A lone surrogate, as a damaged table may hold it: not encodable as UTF-8."""
    texts = [SENTENCES[0], "I\ud800 am", SENTENCES[2]]
    settings = TextSettings(model=str(save_roberta(tmp_path)), token_budget=budget)
    done: list[int] = []
    first, second, third = TextExtractor(settings).extract(
        [Utterance(str(number), text) for number, text in enumerate(texts)], done.append
    )
    assert isinstance(second, Fault)
    assert isinstance(first, Feature)
    assert isinstance(third, Feature)
    assert sum(done) == 3


def test_a_sentence_whose_numbers_overflow_leaves_the_others_of_its_batch(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    save_roberta(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    word = AutoTokenizer.from_pretrained(tmp_path)("What?")["input_ids"][1]
    weights["roberta.embeddings.word_embeddings.weight"][word] = np.inf
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    spoken = [Utterance(str(number), text) for number, text in enumerate(("Okay.", "What?", SENTENCES[0]))]
    first, second, third = TextExtractor(TextSettings(model=str(tmp_path))).extract(spoken)
    assert isinstance(second, Fault)
    assert "finite numbers" in second.reason
    assert isinstance(first, Feature)
    assert isinstance(third, Feature)
    assert np.isfinite(first.vector).all()
