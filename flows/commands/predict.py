"""``bigfusion predict``: which emotion, whose, when and how sure, in new recordings."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.flows.project.predicting import Prediction
    from bigfusion.flows.project.trained import Model
    from bigfusion.model.scoring.timeline import Origin, Timeline

HELP = "predict new recordings with the trained model, and show them on a page"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `predict` takes."""
    parser.add_argument("media", type=Path, metavar="VIDEO", nargs="+", help="videos, sound files, or folders of them")
    parser.add_argument(
        "--subtitles", type=Path, nargs="+", default=[], metavar="FILE",
        help="one a video, by name, else in order: srt, vtt, json (Whisper), TextGrid, eaf, csv (default: beside them)",
    )  # fmt: skip
    parser.add_argument(
        "--speakers-file", type=Path, nargs="+", default=[], metavar="RTTM", help="who speaks when, one or one a video"
    )
    parser.add_argument(
        "--speakers", type=int, metavar="N", help="how many people speak, where no transcript says who does"
    )
    parser.add_argument(
        "--speaker-map", nargs="+", default=[], metavar="S1=NAME", help="names of the speakers that were recognised"
    )
    parser.add_argument(
        "--run", dest="trained", type=Path, metavar="RUN", help="a run's id or folder (default: current)"
    )
    parser.add_argument("--model", type=str, metavar="DIR", help="a published model: its folder, or its id on the hub")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: beside the video)")
    parser.add_argument("--embed", action="store_true", help="put the video into the page, so that it is one file")


def run(
    common: Common,
    *,
    media: Sequence[Path],
    subtitles: Sequence[Path],
    speakers_file: Sequence[Path],
    speakers: int | None,
    speaker_map: Sequence[str],
    trained: Path | None,
    model: str | None,
    out: Path | None,
    embed: bool,
) -> Answer:
    """Predict recordings, and write a page and files for each."""
    from bigfusion.extractors.speech.transcript import speaker_map as names_of
    from bigfusion.flows.project import prediction_files

    names = names_of(speaker_map)
    settings = [*common.assignments, *([] if speakers is None else [f"predict.speakers={speakers}"])]
    found = chosen_model(common, trained, model)
    prediction = found.timelines(media, subtitles, speakers_file, names, settings)
    folders = prediction_files.folders(prediction.timelines, out)
    written = [
        prediction_files.write(timeline, folder, embed)
        for timeline, folder in zip(prediction.timelines, folders, strict=True)
    ]
    return Answer(_text(found, prediction, written), _data(found, prediction, written))


def chosen_model(common: Common, trained: Path | None, model: str | None) -> Model:
    """The model that the options name: a run, a published model, or else the project's current one."""
    from bigfusion.flows.project import find_model

    if trained and model:
        raise SettingsError("predict: --run and --model name two models; give one of them")
    if model or (trained and len(trained.parts) > 1):
        without("predict", "the model brings its settings", config=common.config, preset=common.preset)
        return find_model.load(model or trained or "")
    return find_model.current(replace(common, assignments=()).project(), str(trained or ""))


def _text(model: Model, prediction: Prediction, written: Sequence[Mapping[str, Path]]) -> str:
    from bigfusion.flows.project.prediction_files import SUFFIXES
    from bigfusion.flows.project.workspace import relative

    lines = []
    for timeline, files in zip(prediction.timelines, written, strict=True):
        counts = Counter(moment.label for moment in timeline.moments)
        labels = ", ".join(f"{number} {label}" for label, number in counts.most_common())
        folder = relative(next(iter(files.values())).parent.resolve())
        seconds = f"{timeline.seconds:.{0 if timeline.seconds >= 1 else 2}f}"
        lines += [
            f"{timeline.media.name}: {seconds} s, {numbered(len(timeline.moments), 'utterance')}: {labels}",
            *(f"page      {folder}/{name}" for name in files if name.endswith(".html")),
            f"files     {folder}/predictions.{{{','.join(SUFFIXES)}}}",
        ]
    lines.append(f"model     {_said(model.origin)}")
    return "\n".join(lines)


def _said(origin: Origin) -> str:
    """What the model is, and how good: of several seeds, as it answers, all of them together."""
    from bigfusion.model.report.wording import split_name

    sure = f"; not sure below {100 * origin.threshold:.0f} %" if origin.threshold >= 0.005 else ""
    if origin.calibration_error is not None:
        sure += f"; probabilities are off by {100 * origin.calibration_error:.1f} points on average (ECE)"
    score = numbered(origin.seeds, "seed")
    if origin.weighted_f1 is not None:
        several = "mean of {}" if origin.averaged else "the {} together"
        score = score if origin.seeds == 1 else several.format(score)
        score += f": {split_name(origin.scored)} WF1 {100 * origin.weighted_f1:.1f}"
    return f"{origin.model}: {origin.network} on {origin.corpus}, {score}{sure}"


def _data(model: Model, prediction: Prediction, written: Sequence[Mapping[str, Path]]) -> dict[str, Any]:
    return {
        "model": model.origin.model,
        "threshold": model.trust.threshold,
        "temperature": model.trust.temperature,
        "ece": model.trust.calibration_error,
        "computed": dict(prediction.computed),
        "warnings": list(prediction.warnings),
        "recordings": [
            _recording(timeline, files) for timeline, files in zip(prediction.timelines, written, strict=True)
        ],
    }


def _recording(timeline: Timeline, files: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "media": str(timeline.media),
        "seconds": timeline.seconds,
        "utterances": len(timeline.moments),
        "labels": dict(Counter(moment.label for moment in timeline.moments)),
        "files": {name: str(path.absolute()) for name, path in files.items()},
    }
