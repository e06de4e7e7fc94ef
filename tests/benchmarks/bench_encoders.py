"""Speech encoders against the field's way, in one run: wall-clock and processor time, and how far vectors moved.

The field's way, put together from what its feature scripts do: one file at a time, decoded anew for each feature, a
batch of one, float32. Three forms of padding: none (the most careful scripts), to the longest of the corpus, and to
30 s (Whisper's, and that of scripts with a fixed length). The encoders have the size of `base` and random weights: time
does not depend on them. Clips last 1 to 10 s, or as long as MELD's. Both ways use as many threads.

Beside the times stand the arithmetic of the encoder and the rate that a core reaches in large matrix products: the two
give the least time that any way can take in float32.

Run from the project's root: python -m tests.benchmarks.bench_encoders [clips] [families, e.g. wav2vec2,whisper]
    [--durations meld] [--threads 1]
`memory N [family]` (1,000 or more): memory while N short clips go through a small encoder; also `whisper-ct2`, `image`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count as counted
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode
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
from bigfusion.extractors.audio.whisper import WhisperExtractor, WhisperSettings
from bigfusion.extractors.base import Extractor, Feature
from bigfusion.extractors.compute import cores, give_back
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import MediaSpan, Utterance
from tests.helpers.clip_maker import write_clip
from tests.helpers.pictures import blank
from tests.helpers.tiny_images import saved
from tests.helpers.tiny_speech import save_ctranslate2, save_speech, voice

RATE = 16_000
FULL = 30 * RATE
SHORT = 12
"""Clips of the slowest comparison, to 30 s."""
MELD = {
    0.0: 0.006, 0.05: 0.672, 0.1: 1.002, 0.15: 1.183, 0.2: 1.377, 0.25: 1.552, 0.3: 1.732, 0.35: 1.917, 0.4: 2.084,
    0.45: 2.251, 0.5: 2.46, 0.55: 2.668, 0.6: 2.918, 0.65: 3.169, 0.7: 3.503, 0.75: 3.919, 0.8: 4.421, 0.85: 5.213,
    0.9: 6.297, 0.95: 7.924, 0.98: 10.093, 0.99: 11.802, 0.995: 13.284, 0.999: 18.728, 1.0: 41.04,
}  # fmt: skip
"""Quantiles of the 11,098 durations of MELD's training and development clips, EndTime less StartTime (mean 3.14 s)."""
LEAST = 0.15
"""Seconds of a clip; what is shorter than 0.1 s is no turn to the extractor."""
EACH = 512
"""Clips between two lines of `memory`."""


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
    wall, used = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - used, found


def peak() -> float:
    """GFLOP/s of one thread in large float32 matrix products, the best of twenty: what a core can do."""
    with torch.inference_mode():
        left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
        return max(2 * 1024**3 / measured(lambda: left @ right)[1] / 1e9 for _ in range(20))


def arithmetic(model: Any, prepares: Any, seconds: Sequence[float], whisper: bool) -> float:
    """GFLOP that ``model`` needs for sound of these lengths, counted without computing at 2, 6 and 12 s."""
    encoder = (model.get_encoder() if whisper else model).eval().to("meta")
    for module in encoder.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    points, found = [30.0] if whisper else [2.0, 6.0, 12.0], []
    for point in points:
        inputs = prepares(voice(point), sampling_rate=RATE, return_tensors="pt").to("meta")
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            encoder(**inputs)
        found.append(counter.get_total_flops() / 1e9)
    return float(np.polyval(np.polyfit(points, found, len(points) - 1), seconds).sum())  # attention grows as the square


def compare(
    family: str, turns: Sequence[Utterance], seconds: Sequence[float], home: Path, threads: int, rate: float
) -> None:
    folder = home / family
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, prepares = base(family)
    whisper = family == "whisper"
    model.save_pretrained(folder)
    prepares.save_pretrained(folder)
    work = arithmetic(model, prepares, seconds, whisper)
    del model
    print(
        f"{family:<9} {work / sum(seconds):.1f} GFLOP a second of sound{', padded to 30 s' if whisper else ''}: at "
        f"{rate:.0f} GFLOP/s {work / rate / len(seconds):.3f} s of a processor a clip",
        flush=True,
    )
    field = Field(folder)
    made = {
        name: SpeechEncoderExtractor(
            SpeechEncoderSettings(model=str(folder), device="cpu", threads=threads, **settings), sha256_of
        )
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


def lengths(durations: str, count: int) -> list[float]:
    """Mixed lengths in seconds, the same each time: evenly from 1 to 10 s, or one of each part of MELD's."""
    draw = np.random.default_rng(0)
    if durations == "uniform":
        found = draw.permutation(np.linspace(1.0, 10.0, count))
    else:
        shares = (draw.permutation(count) + draw.random(count)) / count
        found = np.maximum(np.interp(shares, list(MELD), list(MELD.values())), LEAST)
    return [float(one) for one in found]


def clips(seconds: Sequence[float], home: Path) -> list[Utterance]:
    turns = []
    for number, length in enumerate(seconds):
        path = write_clip(home / f"{number}.wav", sound=voice(length, number)[None], rate=RATE, audio="pcm_s16le")
        turns.append(Utterance(str(number), "", audio=MediaSpan(path, "-")))
    return turns


def memory(count: int, family: str, home: Path) -> None:
    """Memory while ``count`` clips of 0.3 to 2.9 s, each of a length of its own, go through a small encoder.

    They come in chunks of 64, after each of which freed memory is given back, as a run does. `private` is what no file
    backs: the kernel may take a file's pages away. `in use` is what the program holds of it, `free` what the allocator
    keeps for later (given back or not).
    """
    extractor = small(family, home)
    endless, seen = spans(family, home), []
    for done in range(0, count, 64):
        extractor.extract(list(islice(endless, min(64, count - done))))
        gc.collect()
        give_back()
        seen.append(private())
        if done % EACH == 0 or done + 64 >= count:
            used, free = allocated()
            print(
                f"{family} {done + 64:>6} clips {resident():8.1f} MiB resident, {seen[-1]:8.1f} private: "
                f"{used:7.1f} in use, {free:6.1f} free",
                flush=True,
            )
    half = len(seen) // 2
    slope = np.polyfit(np.arange(len(seen) - half) * 64, seen[half:], 1)[0] * 1024
    print(
        f"{family}: {count} clips: {seen[0]:.1f} MiB private after 64, {seen[len(seen) // 10]:.1f} after a tenth, "
        f"{seen[half]:.1f} after half, {seen[-1]:.1f} at the end: {slope:+.2f} KiB a clip in the second half",
        flush=True,
    )


def small(family: str, home: Path) -> Extractor:
    if family == "whisper-ct2":
        return WhisperExtractor(
            WhisperSettings(model=str(save_ctranslate2(home / "small")), device="cpu", pad="own"), sha256_of
        )
    if family == "image":
        folder = saved(home / "small", "vit")
        settings = ImageEncoderSettings(model=str(folder), on="frame", device="cpu", frames_per_second=2)
        return ImageEncoderExtractor(settings, sha256_of)
    return SpeechEncoderExtractor(
        SpeechEncoderSettings(model=str(save_speech(home / "small", family)), device="cpu"), sha256_of
    )


def spans(family: str, home: Path) -> Iterator[Utterance]:
    """The beginnings of eight files, no two of one length."""
    draw = np.random.default_rng(0)
    if family == "image":
        files = [write_clip(home / f"{number}.mp4", [blank(120, 160)] * 75) for number in range(8)]
    else:
        files = [
            write_clip(home / f"{number}.wav", sound=voice(3.0, number)[None], rate=RATE, audio="pcm_s16le")
            for number in range(8)
        ]
    for number in counted():
        span = MediaSpan(files[number % 8], "-", 0.0, float(draw.uniform(0.3, 2.9)))
        yield Utterance(str(number), "", visual=span) if family == "image" else Utterance(str(number), "", audio=span)


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def private() -> float:
    """MiB of memory that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 2**10


class _Allocated(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later, over all of its arenas."""

    _fields_ = (
        ("arena", ctypes.c_size_t), ("ordblks", ctypes.c_size_t), ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t), ("hblkhd", ctypes.c_size_t), ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t), ("uordblks", ctypes.c_size_t), ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )  # fmt: skip


def allocated() -> tuple[float, float]:
    """MiB that glibc's allocator has given out, and that it keeps."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Allocated
    found = mallinfo2()
    return (found.uordblks + found.hblkhd) / 2**20, found.fordblks / 2**20


def main() -> None:
    """Print the comparisons, or the memory's course."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="[clips] [families], or memory N [family]")
    parser.add_argument("--durations", choices=("uniform", "meld"), default="uniform")
    parser.add_argument("--threads", type=int, default=cores())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        if given.what[:1] == ["memory"]:
            memory(int(given.what[1]), given.what[2] if len(given.what) > 2 else "wavlm", Path(home))
            return
        torch.set_num_threads(given.threads)
        seconds = lengths(given.durations, int(given.what[0]) if given.what else 40)
        turns = clips(seconds, Path(home))
        rate = peak()
        print(
            f"{given.threads} threads, torch {torch.__version__}, {len(seconds)} clips ({given.durations}) of "
            f"{min(seconds):.1f} to {max(seconds):.1f} s, mean {np.mean(seconds):.1f}; "
            f"a core reaches {rate:.0f} GFLOP/s"
        )
        for family in (given.what[1] if len(given.what) > 1 else "wav2vec2,hubert,wavlm,whisper").split(","):
            compare(family, turns, seconds, Path(home), given.threads, rate)


if __name__ == "__main__":
    main()
