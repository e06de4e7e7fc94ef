"""Predict a ten-minute video with subtitles: processor seconds for text, sound, pictures, and the network apart.

The video is the demo's conversation, repeated until it is long enough; every line's words get a number, so that no text
cell is a copy of another. The model is the demo's (`bigfusion demo` makes it). Run from a
folder that holds the demo: python -m tests.benchmarks.bench_predict [--minutes 10] [--demo demo]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bigfusion.flows.project import cells, find_model, prediction_files
from bigfusion.flows.project.computing import compute
from bigfusion.flows.project.corpus import ingest
from bigfusion.flows.project.predicting import dialogues, predict, read, subtitles
from bigfusion.flows.project.workspace import WorkspaceSettings
from bigfusion.pipeline.demo.clip import write_clip
from bigfusion.pipeline.demo.conversation import RATE, read_clip
from bigfusion.pipeline.demo.portrait import FPS
from bigfusion.pipeline.media.facts import media_facts
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.transcripts.read import read_transcript

T = TypeVar("T")


class Spent(NamedTuple):
    """Seconds of processors and of the clock."""

    processor: float
    clock: float


def repeated(source: Path, target: Path, times: int) -> float:
    """Write the pictures and sound of the demo's conversation ``times`` over. Returns the seconds of one."""
    pictures, samples = read_clip(source)
    write_clip(target, pictures * times, FPS, (np.tile(samples, times), RATE), RATE)
    return len(pictures) / FPS


def repeated_cues(source: Path, target: Path, seconds: float, times: int) -> int:
    """Write the cues ``times`` over as a table. Returns how many there are."""
    cues = read_transcript(source).cues
    rows = [
        f'{cue.start + n * seconds:.3f},{cue.end + n * seconds:.3f},{cue.speaker},"{cue.text} {n}"'
        for n in range(times)
        for cue in cues
    ]
    target.write_text("\n".join(["start,end,speaker,text", *rows]) + "\n")
    return len(rows)


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """A result, and what it took: processor seconds of all threads and children, and the clock's."""
    clock, processor = time.perf_counter(), sum(os.times()[:4])
    result = work()
    return result, Spent(sum(os.times()[:4]) - processor, time.perf_counter() - clock)


def alone(planned: CellPlan, name: Any) -> CellPlan:
    """A plan of one modality's cells."""
    return CellPlan(planned.manifest, planned.extractors, {name: planned.parts[name]})


def measure(demo: Path, minutes: float, folder: Path) -> tuple[float, dict[str, Spent]]:
    """The video's length in seconds, and what each stage of its prediction took."""
    video, source = folder / "long.mp4", demo / "conversation.mp4"
    times = max(1, round(minutes * 60 / media_facts(source).seconds))
    seconds = repeated(source, video, times)
    repeated_cues(source.with_suffix(".srt"), video.with_suffix(".csv"), seconds, times)
    stages: dict[str, Spent] = {}
    model, stages["load the model"] = timed(lambda: find_model.load(demo))
    workspace = WorkspaceSettings(path=folder / "work")  # an empty store
    project = model.project(subtitles([video])).model_copy(update={"workspace": workspace})
    manifest, stages["ingest"] = timed(lambda: ingest(project).manifest)
    planned, stages["plan"] = timed(lambda: cells.plan(project, manifest))
    for name in tuple(planned.parts):
        _, stages[str(name)] = timed(lambda name=name: compute(project, alone(planned, name), "bench"))
    vectors = read(project, planned)
    _, stages[f"network, {len(model.seeds)} seeds"] = timed(lambda: model.probabilities(dialogues(manifest, vectors)))
    stages["in all"] = Spent(*map(sum, zip(*stages.values(), strict=True)))
    prediction, stages["the same call again"] = timed(lambda: predict(model, project))
    (timeline,) = prediction.timelines
    _, stages["page and files"] = timed(lambda: prediction_files.write(timeline, folder / "out"))
    return seconds * times, stages


def main() -> None:
    """Print a row a stage, and how many times faster than the video two processors are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        length, stages = measure(given.demo, given.minutes, Path(folder))
    print(f"{length:.0f} s of video; processor and clock in seconds")
    for stage, spent in stages.items():
        faster = f"{2 * length / spent.processor:7.1f} x real time on two processors"
        print(f"{stage:<22} {spent.processor:8.1f} {spent.clock:8.1f} {faster}")


if __name__ == "__main__":
    main()
