"""The paper's own figures, to print beside a run's (Tables 2, 3 and 4, in points)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from bigfusion.model.kinds import settings_classes
from bigfusion.model.settings import NETWORKS


@dataclass(frozen=True)
class PaperFigures:
    """A row of Table 2 or 3: weighted F1 and F1 by class. Accuracy is BIG-FUSION's alone, from Table 4."""

    weighted_f1: float
    per_class: Mapping[str, float]
    accuracy: float | None = None


PAPER = {
    "iemocap": PaperFigures(
        weighted_f1=72.91,
        accuracy=72.64,
        per_class={"hap": 62.03, "sad": 83.64, "neu": 73.03, "ang": 68.38, "exc": 77.21, "fru": 68.66},
    ),
    # Fear and disgust are trained and scored; the paper leaves out their columns only
    "meld": PaperFigures(
        weighted_f1=67.17,
        accuracy=68.24,
        per_class={"neutral": 80.61, "surprise": 60.59, "sadness": 41.82, "joy": 64.65, "anger": 55.59},
    ),
}
"""BIG-FUSION, by the corpus's name in small letters."""

_CLASSES = {
    "iemocap": ("hap", "sad", "neu", "ang", "exc", "fru"),
    "meld": ("neutral", "surprise", "sadness", "joy", "anger"),
}

# name | IEMOCAP: happy sad neutral angry excited frustrated WF1 | MELD: neutral surprise sadness happy anger WF1
_TABLE_2 = """
dialogue_rnn | DialogueRNN | 32.20 80.26 57.89 62.82 73.87 59.76 62.89 | 76.97 47.69 20.41 50.92 45.52 57.66
hcl          | HCL         | 48.97 82.21 68.08 66.72 69.43 68.73 68.73 | 63.89
mvn          | MVN         | 55.75 73.30 61.88 65.96 69.50 64.21 65.44 | 76.65 53.18 21.82 53.62 42.55 59.03
scmm         | SCMM        | 45.37 78.76 63.54 66.05 76.70 66.18 67.53 | 59.44
mmgcn        | MMGCN       | 45.14 77.16 64.36 68.82 74.71 61.40 66.26 | 76.33 48.15 26.74 53.02 46.09 58.31
mm_dfn       | MM-DFN      | 42.22 78.98 66.42 69.77 75.56 66.33 68.18 | 77.76 50.69 22.93 54.78 47.82 59.46
ga2mif       | GA2MIF      | 46.15 84.50 68.38 70.29 75.99 66.49 70.00 | 76.92 49.08 27.18 51.87 48.52 58.94
cmcf_srnet   | CMCF-SRNet  | 52.20 80.90 68.80 70.30 76.70 61.60 69.60 | 77.20 52.90 36.00 55.80 43.90 61.80
cogmen       | COGMEN      | 51.91 81.72 68.61 66.02 75.31 58.23 67.63 | 75.31 46.75 33.52 54.98 45.81 58.66
joyful       | JOYFUL      | 60.94 84.42 68.24 69.95 73.54 67.55 71.03 | 76.80 51.91 41.78 56.89 50.71 61.77
adaign       | AdaIGN      | 53.04 81.47 71.26 65.87 76.34 67.79 70.74 | 79.75 60.53 43.70 64.54 56.15 66.79
bigfusion    | BIG-FUSION  | 62.03 83.64 73.03 68.38 77.21 68.66 72.91 | 80.61 60.59 41.82 64.65 55.59 67.17
"""

_TABLE_3 = """
graphcl         | GraphCL         | 54.49 80.25 70.32 69.79 70.91 65.03 69.01 | 79.63 57.10 40.63 65.23 50.54 65.09
gca             | GCA             | 53.16 82.17 73.22 66.30 72.73 67.69 70.68 | 80.02 57.52 42.04 64.44 53.64 66.31
gcs             | GCS             | 51.59 80.81 72.09 68.62 70.99 66.03 69.60 | 79.34 58.68 38.55 64.55 55.60 66.20
ad_gcl          | AD-GCL          | 50.65 82.05 71.26 65.70 74.66 68.55 70.47 | 79.75 57.33 42.14 63.63 50.59 65.48
auto_gcl        | AutoGCL         | 53.97 81.06 72.46 69.59 76.27 68.09 71.49 | 80.08 58.50 37.46 64.55 54.05 66.17
vma             | VMA             | 51.30 82.91 71.92 65.36 71.51 65.75 69.54 | 79.64 58.00 41.57 63.71 53.92 66.24
dual_importance | dual importance | 62.03 83.64 73.03 68.38 77.21 68.66 72.91 | 80.61 60.59 41.82 64.65 55.59 67.17
"""


@dataclass(frozen=True)
class PrintedRow:
    """A row as the paper prints it: the system's name, and its figures by corpus."""

    name: str
    figures: Mapping[str, PaperFigures]


def _rows(table: str) -> dict[str, PrintedRow]:
    rows = {}
    for line in table.strip().splitlines():
        kind, name, *halves = (part.strip() for part in line.split("|"))
        figures = {}
        for (corpus, labels), half in zip(_CLASSES.items(), halves, strict=True):
            *classes, overall = (float(number) for number in half.split())  # of two systems MELD has no classes
            figures[corpus] = PaperFigures(overall, dict(zip(labels, classes, strict=True)) if classes else {})
        rows[kind] = PrintedRow(name, figures)
    return rows


TABLE_2 = _rows(_TABLE_2)
"""Table 2 by the network's kind, in its order; ``hcl`` is a curriculum."""

TABLE_3 = _rows(_TABLE_3)
"""Table 3 by the contrast's kind, in its order."""


def figures_of(kind: str, corpus: str) -> PaperFigures | None:
    """What the paper prints of a network on a corpus."""
    if kind == "bigfusion":
        return PAPER.get(corpus)
    row = TABLE_2.get(kind)
    return row.figures.get(corpus) if row else None


def network_title(kind: str) -> str:
    """A network's name as people write it: ``PRINTED_NAME`` of its settings file, else the paper's, else its kind."""
    printed = TABLE_2[kind].name if kind in TABLE_2 else kind
    if kind not in settings_classes(NETWORKS):  # a run of another version of bigfusion
        return printed
    return str(getattr(import_module(f"{NETWORKS}.{kind}"), "PRINTED_NAME", printed))
