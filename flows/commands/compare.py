"""``bigfusion compare``: two scored runs on the same dialogues."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands import show
from bigfusion.flows.commands.common import Answer, Common, run_folder, without
from bigfusion.pipeline.errors import TrainingError

if TYPE_CHECKING:
    from bigfusion.model.scoring.compare import Difference

HELP = "compare two scored runs: differences, and how sure they are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `compare` takes."""
    parser.add_argument("first", type=Path, metavar="RUN", help="an id that `bigfusion models` prints, or a folder")
    parser.add_argument("second", type=Path, metavar="RUN", help="another")


def run(common: Common, first: Path, second: Path) -> Answer:
    """Compare two scored runs by paired bootstrap. Each is an id, a run folder or a folder of scores."""
    from bigfusion.flows.project.runs import metrics
    from bigfusion.flows.project.scored_files import notes
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.report.wording import ON_VALIDATION
    from bigfusion.model.scoring.compare import compare, too_few
    from bigfusion.pipeline.schema import Split

    remedy = "both runs are scored already"
    if first.exists() and second.exists():  # otherwise they are ids in the project that the options name
        without("compare", remedy, config=common.config, preset=common.preset)
    without("compare", remedy, set=common.assignments)
    first, second = _scores(run_folder(common, first)), _scores(run_folder(common, second))
    found = compare(first, second)
    rows = []
    for name, title in (("weighted_f1", "weighted F1"), ("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        one: Difference = getattr(found, name)
        points = [f"{100 * value:.2f}" for value in (one.first, one.second)]
        rows.append([title, *points, f"{100 * one.difference:+.2f}", *_sure(one)])
    text = show.columns(rows, ["points", "first", "second", "difference", "95 %", "p"])
    text += (
        f"\n\n{found.dialogues} dialogues, {found.utterances} utterances, {found.seeds[0]} and {found.seeds[1]} seeds; "
        f"paired bootstrap, {found.resamples} draws of dialogues"
    )
    few = too_few(found.dialogues)
    flattered = [
        name
        for name, folder, split in zip(("first", "second"), (first, second), found.scored, strict=True)
        if split is Split.VALID and not metrics(folder).get("fitted_at_once")
    ]
    said = [*notes(first, second), *[f"{' and '.join(flattered)}: {ON_VALIDATION}"] * bool(flattered)]
    said += [few] * bool(few)
    text += "".join(f"\nnote: {note}" for note in said)
    text += f"\n\nfirst     {relative(first.absolute())}\nsecond    {relative(second.absolute())}"
    data = found.model_dump(mode="json") | {"first": str(first), "second": str(second), "notes": said}
    return Answer(text, data)


def _sure(one: Difference) -> tuple[str, str]:
    """The interval and p of a difference; empty for a single dialogue."""
    if one.low is None or one.high is None or one.p is None:
        return "", ""
    return f"{100 * one.low:+.2f} to {100 * one.high:+.2f}", f"{one.p:.4f}"


def _scores(folder: Path) -> Path:
    """The folder of a run's scores: the run folder itself, or the only folder in its ``scores``."""
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.runs.folder import PREDICTIONS

    if (folder / PREDICTIONS).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f"scores/*/{PREDICTIONS}"))
    if len(found) != 1:
        what = ", ".join(relative(path.absolute()) for path in found) or "none"
        raise TrainingError(
            f"{folder}: expected a scored run, found {what}; "
            + ("name one of them" if found else "evaluate it first: `bigfusion evaluate`")
        )
    return found[0]
