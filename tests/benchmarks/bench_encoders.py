"""Speech encoders against the field's way, in one run: wall-clock and processor time, and how far vectors moved.

The field's way, put together from what its feature scripts do: one file at a time, decoded anew for each feature, a
batch of one, float32, PyTorch on all processors. Three forms of padding: none (the most careful scripts), to the
longest of the corpus, and to 30 s (Whisper's, and that of scripts with a fixed length). The encoders have the size of
`base` and random weights: time does not depend on them. Clips last 1 to 10 s.

Run from the project's root: python -m tests.benchmarks.bench_encoders [clips] [families, e.g. wav2vec2,whisper]
`memory N [family]`: resident memory while N short clips go through a small encoder.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, SpeechEncoderSettings
from bigfusion.extractors.base import Feature
from bigfusion.extractors.compute import cores
from bigfusion.extractors.files import sha256_of
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import MediaSpan, Utterance
from tests.helpers.clip_maker import write_clip
from tests.helpers.tiny_speech import save_speech, voice

RATE = 16_000
FULL = 30 * RATE
SHORT = 12
"""Clips of the slowest comparison, to 30 s."""


def base(family: str) -> tuple[Any, Any]:
    """A model of base size, of random weights, and its feature extractor."""
    prepares: Any = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    if family == "wav2vec2":
        return Wav2Vec2Model(Wav2Vec2Config()), prepares
    if family == "hubert":
        return HubertModel(HubertConfig()), prepares
    if family == "wavlm":
        return WavLMModel(WavLMConfig()), prepares
    if family == "whisper":
        config = WhisperConfig(
            d_model=512,
            encoder_layers=6,
            encoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_layers=1,
            decoder_attention_heads=8,
        )
        return WhisperModel(config), WhisperFeatureExtractor()
    raise SystemExit(f"{family}: expected wav2vec2, hubert, wavlm or whisper")


class Field:
    """One file at a time: decoded, prepared, padded or not, encoded, its frames' mean taken, padding included."""

    def __init__(self, folder: Path) -> None:
        self.prepare = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
        self.whisper = model.config.model_type == "whisper"
        self.model: Any = model.get_encoder() if self.whisper else model

    def __call__(self, span: MediaSpan, length: int | None = None) -> np.ndarray:
        sound = read_audio(span)
        if length and not self.whisper:
            sound = np.pad(sound, (0, length - len(sound)))
        inputs = self.prepare(sound, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            frames: torch.Tensor = self.model(**inputs).last_hidden_state[0]
        return frames.mean(0).numpy()


def measured(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall-clock and processor seconds, and the result."""
    wall, used = time.perf_counter(), sum(os.times()[:2])
    found = work()
    return time.perf_counter() - wall, sum(os.times()[:2]) - used, found


def compare(family: str, turns: Sequence[Utterance], seconds: Sequence[float], home: Path) -> None:
    folder = home / family
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, prepares = base(family)
    model.save_pretrained(folder)
    prepares.save_pretrained(folder)
    del model
    field = Field(folder)
    whisper = family == "whisper"
    made = {
        name: SpeechEncoderExtractor(SpeechEncoderSettings(model=str(folder), device="cpu", **settings), sha256_of)
        for name, settings in (
            {"pad full": {}, "pad own": {"pad": "own"}}
            if whisper
            else {"float32": {}, "batches": {"seconds_budget": 20}}
        ).items()
    }
    spans = [turn.audio for turn in turns if turn.audio is not None]
    longest = round(max(seconds) * RATE) + 1
    field(spans[0])
    ours = {}
    for name, extractor in made.items():
        extractor.extract(turns[:2])
        ours[name] = measured(lambda: extractor.extract(turns))  # noqa: B023  # called at once
    forms: dict[str, tuple[int | None, int]] = {"as it is": (None, len(spans))}
    if not whisper:
        forms |= {"to the longest": (longest, len(spans)), "to 30 s": (FULL, min(SHORT, len(spans)))}
    for form, (length, count) in forms.items():
        wall, used, theirs = measured(lambda: [field(span, length) for span in spans[:count]])  # noqa: B023
        for name, (our_wall, our_used, found) in ours.items():
            share = sum(seconds[:count]) / sum(seconds)  # of the sound that was compared
            print(
                f"{family:<9} {name:<9} {our_used / len(spans):6.3f} s of a processor a clip "
                f"({our_wall / len(spans):6.3f} s)   field, {form:<15} {used / count:6.3f} ({wall / count:6.3f})   "
                f"{used / (our_used * share):5.1f} x in processor time, {wall / (our_wall * share):5.1f} x in time   "
                f"vectors apart by {_apart(found[:count], theirs):.1e}",
                flush=True,
            )


def _apart(found: Sequence[Any], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference, of the length of the field's vector."""
    assert all(isinstance(outcome, Feature) for outcome in found)
    return max(
        float(np.linalg.norm(outcome.vector - other) / np.linalg.norm(other))
        for outcome, other in zip(found, theirs, strict=True)
    )


def clips(count: int, home: Path, least: float, most: float) -> tuple[list[Utterance], list[float]]:
    """Clips of mixed lengths, as they come in a corpus."""
    seconds = np.random.default_rng(0).permutation(np.linspace(least, most, count)).tolist()
    turns = []
    for number, length in enumerate(seconds):
        path = write_clip(home / f"{number}.wav", sound=voice(length, number)[None], rate=RATE, audio="pcm_s16le")
        turns.append(Utterance(str(number), "", audio=MediaSpan(path, "-")))
    return turns, seconds


def memory(count: int, family: str, home: Path) -> None:
    """Resident memory while ``count`` clips of 0.3 to 3 s go through a small encoder, in chunks of 64."""
    turns, _ = clips(60, home, 0.3, 3.0)
    folder = save_speech(home / "small", family)
    extractor = SpeechEncoderExtractor(SpeechEncoderSettings(model=str(folder), device="cpu"), sha256_of)
    endless, resident = cycle(turns), []
    for done in range(0, count, 64):
        extractor.extract(list(islice(endless, min(64, count - done))))
        gc.collect()
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
    tenth = len(resident) // 10
    slope = np.polyfit(np.arange(len(resident) - tenth) * 64, resident[tenth:], 1)[0] * 1024
    print(
        f"{family}: {count} clips: {resident[0]:.1f} MiB after 64, {resident[tenth]:.1f} after a tenth, "
        f"{resident[-1]:.1f} at the end: {slope:+.2f} KiB a clip",
        flush=True,
    )


def main() -> None:
    """Print the comparisons, or the memory's course."""
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        if arguments[:1] == ["memory"]:
            memory(int(arguments[1]), arguments[2] if len(arguments) > 2 else "wavlm", Path(home))
            return
        count = int(arguments[0]) if arguments else 40
        turns, seconds = clips(count, Path(home), 1.0, 10.0)
        print(
            f"{cores()} processors, torch {torch.__version__}, {count} clips of 1 to 10 s, mean {np.mean(seconds):.1f}"
        )
        for family in (arguments[1] if len(arguments) > 1 else "wav2vec2,hubert,wavlm,whisper").split(","):
            compare(family, turns, seconds, Path(home))


if __name__ == "__main__":
    main()
