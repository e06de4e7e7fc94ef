"""Runs on a feature file, without a project: train into a folder, and score any feature file with the run.

There is no store, no manifest and no Prefect: a file goes in and a folder comes out. It is a run folder like a
project's, and its ``run.json`` records the training data. Scores lie in ``scores/FILE-DIGEST``, a folder for each
scored file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bigfusion.flows.progress import training, warn_of_neurons
from bigfusion.flows.project.assemble import dialogues
from bigfusion.flows.project.earlier_versions import say_if_earlier
from bigfusion.flows.project.features import check_names
from bigfusion.flows.project.known_dialogues import known_among, known_dialogues, known_utterances
from bigfusion.flows.project.runs import FORMAT, differences
from bigfusion.flows.project.scored_files import write_scored_file
from bigfusion.flows.project.settings import Learning
from bigfusion.flows.project.workspace import exclusive, relative
from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, hold_out, true_labels
from bigfusion.model.data.split_notes import notes as split_notes
from bigfusion.model.data.split_notes import speaker_notes
from bigfusion.model.network_notes import notes as network_notes
from bigfusion.model.report.benchmark import benchmark_of
from bigfusion.model.reproduce.schemes import sessions_of
from bigfusion.model.runs.checkpoint import FACTS, CheckpointFacts, absent_rows
from bigfusion.model.runs.files import read_json, read_record, write_json, write_record
from bigfusion.model.runs.folder import METRICS, finished_seeds, is_finished, seed_folder
from bigfusion.model.scoring.evaluate import evaluate as score
from bigfusion.model.scoring.modalities import modality_scores, never_learned, read_modality_scores, stand_in
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.settings import ModelSettings, network_settings
from bigfusion.model.training.code import NO_NUMBER, training_entries
from bigfusion.model.training.train import fitting
from bigfusion.model.training.train import train as train_one_seed
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import CorpusError, TrainingError
from bigfusion.pipeline.feature_files.reader import ImportedFeatures, read_features
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.schema import FeatureName, Modality, Split
from bigfusion.pipeline.tables.labels import corpus_of
from bigfusion.pipeline.words import numbered, quoted

log = logging.getLogger("bigfusion")

RUN = "run.json"


@dataclass(frozen=True)
class Scored:
    """The result of scoring a file: the scores, their folder, and how many of its dialogues the run knew from training.

    ``seen`` is ``None`` if that cannot be told. The run does not record its dialogues (an older run, a project's), or
    the file lacks a modality, so that its dialogues are never equal to those. ``absent`` says of each feature that it
    lacks what is read in its place, ``absent_in_training`` how many training utterances lacked each modality (``None``:
    not known). ``unlearned`` has a line for each modality that some rows lack and no training utterance lacked.
    ``benchmark`` is ``meld`` or ``iemocap`` if the file is known to hold it. ``notes`` is what a reader should know
    about the network.
    """

    metrics: Metrics
    folder: Path
    seen: int | None
    digest: str
    absent: dict[str, str] = field(default_factory=dict)
    absent_in_training: dict[str, int] | None = None
    benchmark: str | None = None
    unlearned: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def train(features: Path, out: Path, learning: Learning) -> list[int]:
    """Train every seed on the dialogues of a feature file into the folder ``out``, or continue such a training.

    Without a split column, the last share (``train.holdout``) of the dialogues is used for validation. If the settings
    choose no modalities, those of the file are used. Seeds can be added to a run later. Returns all its seeds.

    Raises:
        CorpusError: the file is not a feature file.
        TrainingError: it cannot be trained on, or the folder holds another run or other files.
    """
    data, model = training_data(features, learning)
    trained_as = fitting(data, model)
    inputs = {
        "data": data.digest(),
        "model": trained_as.numbers(),
        "train": learning.train.numbers(),
        "code": code_digests(*training_entries(trained_as, learning.train), stop=NO_NUMBER),
    }
    for note in (*network_notes(trained_as), *split_notes(data, trained_as), *speaker_notes(data, trained_as)):
        log.info("train: %s", note)
    with exclusive(out, "name another folder with --out"):
        seeds = _begin(out, features, data, inputs, learning.train.seeds)
        untrained = [seed for seed in learning.train.seeds if not is_finished(seed_folder(out, seed))]
        if untrained:
            log.info("train: to do: %s", numbered(len(untrained), "seed"))
        with training(learning.train.epochs_in_all) as progress:
            for seed in learning.train.seeds:
                trained = train_one_seed(data, model, learning.train, seed, seed_folder(out, seed), progress)
                warn_of_neurons(trained)
                best = trained.best
                log.info(
                    "train: seed %d: validation WF1 %.1f (epoch %d of %d)",
                    seed, 100 * best.valid_weighted_f1, best.epoch, trained.epochs,
                )  # fmt: skip
    shared = sorted(sessions_of(data.train) & sessions_of(data.valid))
    if shared and len(sessions_of(data)) > 1:
        log.info(
            "train: validation and training share sessions, and so speakers (%s): the validation WF1 is too high for"
            " other speakers; `bigfusion reproduce --table 2 --rows %s --scheme sessions --features %s` tells what to"
            " expect", ", ".join(shared), model.kind, quoted(features),
        )  # fmt: skip
    return seeds


def known_corpus(features: Path) -> str:
    """``iemocap`` or ``meld``, if a feature file has its classes; else empty.

    Raises:
        CorpusError: the file is not a feature file.
    """
    return corpus_of(read_features(features, fill=False).manifest.labels) or ""


def training_data(features: Path, learning: Learning) -> tuple[Data, ModelSettings]:
    """A feature file's dialogues, and the network's settings with the modalities that the file has.

    Raises:
        CorpusError: the file is not a feature file.
        TrainingError: the file has too few dialogues to hold some out.
    """
    found = read_features(features, fill=False)
    _say_notes(features, found)
    model = _with_modalities_of(found, learning.model)
    return _training_data(found, model, learning.train.holdout), model


def _say_notes(features: Path, found: ImportedFeatures) -> None:
    for note in found.manifest.notes:
        log.info("%s: note: %s", features.name, note)


def evaluate(features: Path, run: Path, device: str = "auto", modalities: bool = False) -> Scored:
    """Score every seed of a run on the dialogues of a feature file: on its test rows, or on all if it has none.

    Labels are those of the run, as codes or as names. A class that does not occur in the file is no error. A missing
    number inside a row is replaced by the training mean. A modality that the file lacks counts as absent in each row:
    the network reads its "absent" vector, and a warning says if that was never learned. With ``modalities``, also score
    without each modality and with each alone.

    Raises:
        CorpusError: the file is not a feature file, has features of another width than the run was trained on, or none
            of the modalities.
        TrainingError: the folder holds no finished run, or nothing in the file has a label.
    """
    if not run.is_dir():
        raise TrainingError(
            f"{run}: expected the folder of a trained run, found none; "
            f"train one with `bigfusion train --features {quoted(features)} --out {quoted(run)}`"
        )
    record = _record(run) if (run / RUN).exists() else {}
    folders = finished_seeds(run, record.get("seeds"))
    facts = read_record(folders[0] / FACTS, CheckpointFacts)
    say_if_earlier(relative(run), facts)
    found = read_features(features, facts.labels, fill=False)
    _say_notes(features, found)
    _check_fit(features, found, run, facts)
    read, absent = _as_trained(features, found, facts)
    stand_ins = {name: stand_in(FeatureName(name), absent, facts) for name in absent}
    for name, how in stand_ins.items():
        log.warning("%s: no %s: the run was trained on it; %s", features.name, name, how)
    splits = dialogues(found.manifest, read)
    scored = splits[Split.TEST] or [dialogue for split in Split for dialogue in splits[split]]
    if not (true_labels(scored) != UNLABELLED).any():
        raise TrainingError(
            f"{features}: expected labelled utterances to score, found none among {len(true_labels(scored))}; "
            "give them labels in the column label"
        )
    data = Data(facts.labels, [], [], scored)
    unlearned = _never_learned(scored, facts, absent)
    for line in unlearned:
        log.warning("%s: %s", features.name, line)
    folder = run / "scores" / f"{features.stem}-{data.digest()[:8]}"
    seen = None if absent else known_among(scored, record)
    if seen is None:
        why = "some modality is absent" if absent else "the run's record does not say"
        log.warning("evaluate: whether these dialogues were trained or validated on cannot be told: %s", why)
    elif seen:
        log.warning("evaluate: %d of %d dialogues were trained or validated on: not a test", seen, len(scored))
    for note in speaker_notes(data, facts.model):
        log.warning("evaluate: %s", note)
    seeds = [int(one.name.removeprefix("seed-")) for one in folders]
    metrics = score(run, data, seeds, device, out=folder)
    if record.get("test") != data.digest() and (honest := _without_picks(metrics)) != metrics:
        if "test" not in record:
            log.info("evaluate: no score of picked test epochs: the run's record does not tell its test split")
        metrics = honest
        write_record(folder / METRICS, metrics)
    if modalities and read_modality_scores(folder, metrics) is None:
        modality_scores(run, data, metrics, device, out=folder)
    write_scored_file(folder, features, len(scored), seen)
    benchmark = benchmark_of(features.stem, data)
    about = network_notes(facts.model)
    return Scored(metrics, folder, seen, data.digest(), stand_ins, facts.absent, benchmark, unlearned, about)


def _with_modalities_of(found: ImportedFeatures, model: ModelSettings) -> ModelSettings:
    """``model`` with the modalities that the file has, unless the settings chose some."""
    if "modalities" in model.model_fields_set:
        return model
    there = {name.modality for name in found.features}
    return network_settings(
        model.model_dump(exclude_unset=True) | {"modalities": [name for name in Modality if name in there]}
    )


def _training_data(found: ImportedFeatures, model: ModelSettings, holdout: float) -> Data:
    splits = dialogues(found.manifest, _chosen(found, model))
    train, valid = splits[Split.TRAIN], splits[Split.VALID]
    if not valid:
        train, valid = hold_out(train, holdout)
    return Data(found.manifest.labels, train, valid, splits[Split.TEST])


def _chosen(found: ImportedFeatures, model: ModelSettings) -> dict[str, Any]:
    """Rows and presence of the features in use that the file has.

    Raises:
        SettingsError: ``model.features`` names one that the file lacks.
    """
    if model.features is not None:
        check_names(model.features, tuple(found.features))
    return {str(name): (found.features[name], found.present[name]) for name in model.chosen(found.features)}


def _check_fit(features: Path, found: ImportedFeatures, run: Path, facts: CheckpointFacts) -> None:
    expected = {str(name): facts.widths[name] for name in facts.model.chosen(facts.widths)}
    there = {str(name): values.shape[1] for name, values in found.features.items()}
    if not expected.keys() & there.keys() or any(there[name] != expected[name] for name in expected.keys() & there):
        raise CorpusError(
            f"{features}: expected {_widths(expected)}, as {relative(run)} was trained on, found {_widths(there)}; "
            "score features of the same kind, or train a run on these"
        )


def _as_trained(
    features: Path, found: ImportedFeatures, facts: CheckpointFacts
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rows and presence of the features that a run was trained on, and which of them the file lacks."""
    names, rows = [str(name) for name in facts.model.chosen(facts.widths)], len(found.manifest)
    nothing: dict[str, Any] = {
        name: (np.zeros((rows, facts.widths[name]), np.float32), np.zeros(rows, np.bool_)) for name in names
    }
    there = {str(name): (values, found.present[name]) for name, values in found.features.items()}
    read = nothing | there
    absent = tuple(name for name in names if not read[name][1].any())
    if len(absent) == len(names):
        raise CorpusError(f"{features}: expected features in {' or '.join(names)}, found rows without any")
    more = [name for name in there if name not in names]
    if more:
        log.info("%s: %s is not read: the run was trained on %s", features.name, ", ".join(more), ", ".join(names))
    return {name: read[name] for name in names}, absent


def _never_learned(scored: Sequence[Dialogue], facts: CheckpointFacts, absent: Sequence[str]) -> tuple[str, ...]:
    """A line for each modality that some of the utterances lack, and whose absent vector was never learned."""
    names, count = facts.model.chosen(facts.widths), sum(map(len, scored))
    there = {name.modality.value for name in names if name not in absent}  # of the others, a line says it of every row
    return tuple(
        f"{lacking} of {count} utterances lack {modality}: they are scored with an absent vector that was never"
        " learned, for no training utterance lacked it"
        for modality, lacking in absent_rows(scored, names).items()
        if lacking and modality in there and never_learned(FeatureName(modality), names, facts)
    )


def _widths(widths: dict[str, int]) -> str:
    return ", ".join(f"{name} of width {width}" for name, width in widths.items())


def _begin(out: Path, features: Path, data: Data, inputs: dict[str, Any], wanted: tuple[int, ...]) -> list[int]:
    """Check that ``out`` is empty or holds this same run, and record the run there. Returns all seeds of the run."""
    others = [path.name for path in out.iterdir() if path.name != "lock" and not path.name.startswith(".run.json")]
    if (out / RUN).exists():
        record = _record(out)
        if record.get("inputs") != inputs:
            what = "; ".join(differences(record.get("inputs", {}), inputs)) or "files of a project"
            raise TrainingError(
                f"{out}: expected an empty folder or the same run, found a run with other {what}; "
                "name another folder with --out, or delete this one"
            )
    elif others:
        raise TrainingError(
            f"{out}: expected an empty folder or a run, found {others[0]}; name another folder with --out"
        )
    else:
        record = {
            "format": FORMAT,
            "run": digest(inputs)[:16],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "file": str(features.absolute()),
            "inputs": inputs,
            "seeds": [],
            "dialogues": known_dialogues(data),
        }
    seeds = sorted({*record["seeds"], *wanted})
    known = dict(record)
    if "utterances" not in record:
        known["utterances"] = known_utterances([*data.train, *data.valid])
    known |= {"seeds": seeds, "test": Data(data.labels, [], [], data.test).digest()}
    if known != record:  # records of earlier versions have neither a test split nor utterances
        write_json(out / RUN, known)
    return seeds


def _without_picks(metrics: Metrics) -> Metrics:
    """The scores without those of picked test epochs: they were predicted from other features than were scored."""
    seeds = tuple(seed.model_copy(update={"picked_on_test": None}) for seed in metrics.seeds)
    return metrics.model_copy(update={"seeds": seeds, "test_picking": None})


def _record(run: Path) -> dict[str, Any]:
    """The content of ``run.json``.

    Raises:
        TrainingError: it is no record of a run.
        FormatError: a newer version of bigfusion wrote it.
    """
    found = read_json(run / RUN)
    if not isinstance(found, dict):
        raise TrainingError(f"{run / RUN}: expected the record of a run, found another JSON value; train it again")
    check_format(run / RUN, found.get("format"), FORMAT)
    return found
