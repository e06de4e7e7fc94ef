"""Fine-tuning a text encoder on a corpus's emotions, with the training dialogues alone.

A linear layer classifies the same vector that :class:`TextExtractor` stores, with the same context, pooling and layers.
``transformers``' trainer does the work: it resumes, handles mixed precision and gradient checkpointing, and stops early
on the validation split. The result is the encoder, saved as a folder that ``text.model`` can name.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import set_seed

from bigfusion.extractors.checkpoints import quiet
from bigfusion.extractors.compute import device_named
from bigfusion.extractors.files import Sha256, sha256_of
from bigfusion.extractors.text.download import complete
from bigfusion.extractors.text.encoder import TextSettings, longest_sentence
from bigfusion.extractors.text.finetuning.data import Collator, LabelledCorpus, class_weights, rows_of, weighted_f1
from bigfusion.extractors.text.finetuning.learned import LEARNED, RECORD, complete_learned, read_learned, write_learned
from bigfusion.extractors.text.finetuning.network import Classifier, freeze, rates
from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
from bigfusion.extractors.text.pretrained import load, locate
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import ExtractionError

log = logging.getLogger("bigfusion")

ENCODER = "encoder"


@dataclass(frozen=True)
class Finetuned:
    """The result: the encoder's folder, the seed that produced it, and the validation WF1 (0 to 1) of every seed."""

    encoder: Path
    seed: int
    weighted_f1: dict[int, float]


def total(settings: FinetuneSettings, corpus: LabelledCorpus) -> int:
    """The sum of all ``progress`` calls of :func:`finetune`: the utterances of every epoch of every seed."""
    return len(settings.seeds) * settings.epochs * len(corpus.train)


def finetune(
    text: TextSettings,
    settings: FinetuneSettings,
    corpus: LabelledCorpus,
    folder: Path,
    sha256: Sha256 = sha256_of,
    progress: Callable[[int], None] = lambda done: None,
) -> Finetuned:
    """Fine-tune the encoder of ``text`` and keep the best seed's in ``folder``.

    An interrupted training is continued.

    A kill loses at most the epoch that it interrupts. ``progress(n)`` is called after n more utterances of training.

    Raises:
        ExtractionError: no encoder or device, an empty split, ``folder`` holds a different training, or the encoder was
            fine-tuned and does not name what it learned from.
    """
    for name, split in (("training", corpus.train), ("validation", corpus.valid)):
        if not len(split):
            raise ExtractionError(f"finetune-text: expected labelled {name} utterances, found none; check the corpus")
    complete(locate(text.model, text.revision))
    before = _learned_before(text, folder)
    inputs = _inputs(text, settings, corpus, sha256)
    record = _begin(folder, inputs)
    scores = {int(seed): score for seed, score in record["weighted_f1"].items()}
    for seed in settings.seeds:
        if seed not in scores:
            scores[seed] = _one_seed(text, settings, corpus, before, folder / f"seed-{seed}", seed, progress)
            _write(folder, record | {"weighted_f1": scores})  # a seed that is complete is never trained again
            log.info("finetune-text: seed %d: validation WF1 %.1f", seed, 100 * scores[seed])
    best = max(scores, key=lambda seed: scores[seed])
    encoder = folder / ENCODER
    if (newly := folder / f"seed-{best}" / ENCODER).exists():
        shutil.rmtree(encoder, ignore_errors=True)
        newly.rename(encoder)
    if encoder.exists():  # finished by an earlier version, it does not name what its base had learned from
        complete_learned(encoder, _said(corpus), corpus.renamed, before)
    for seed in settings.seeds:
        shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
    return Finetuned(encoder, best, scores)


def _inputs(
    text: TextSettings,
    settings: FinetuneSettings,
    corpus: LabelledCorpus,
    sha256: Sha256,
) -> dict[str, Any]:
    """Everything that the result depends on."""
    return {
        "base": locate(text.model, text.revision).digests(sha256),
        "text": text.numbers(),
        "finetune": settings.numbers(),
        "classes": list(corpus.classes),
        "train": corpus.train.digest,
        "valid": corpus.valid.digest,
    }


def _begin(folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """The folder's record: a new one, or that of the same training if it was begun before."""
    path = folder / RECORD
    if not path.exists():
        record: dict[str, Any] = {"inputs": inputs, "weighted_f1": {}}
        _write(folder, record)
        return record
    record = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name, value in inputs.items() if record.get("inputs", {}).get(name) != value]
    if changed:
        raise ExtractionError(
            f"{folder}: expected a fine-tuning from the same inputs, found one with another {changed[0]}; "
            "name another folder with --out, or delete it"
        )
    return record


def _write(folder: Path, record: dict[str, Any]) -> None:
    write_whole(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())


def _one_seed(
    text: TextSettings,
    settings: FinetuneSettings,
    corpus: LabelledCorpus,
    before: frozenset[str],
    folder: Path,
    seed: int,
    progress: Callable[[int], None],
) -> float:
    """Train one seed and save its best encoder to ``folder / ENCODER``. Returns its validation WF1."""
    cpu = device_named(settings.device).type == "cpu"
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    try:
        set_seed(seed)  # it draws the first weights of the linear layer
        encoder, tokenizer = load(locate(text.model, text.revision), torch.float32)
        freeze(encoder, settings.frozen_layers)
        if settings.gradient_checkpointing:
            encoder.gradient_checkpointing_enable()
        classes = len(corpus.classes)
        weight = class_weights(corpus.train, classes) if settings.class_weights else None
        network = Classifier(encoder.train(), classes, text, settings.dropout, weight)
        longest = longest_sentence(encoder, tokenizer, text)
        train, valid = (rows_of(tokenizer, split, longest) for split in (corpus.train, corpus.valid))
        checkpoint = _whole_checkpoint(folder)
        over = checkpoint is not None and _evaluations_without_gain(checkpoint) >= settings.patience
        batch = max(1, round(settings.batch_size * len(train) / len(corpus.train)))  # passages
        arguments = TrainingArguments(
            output_dir=str(folder),
            seed=seed,
            num_train_epochs=1 if over else settings.epochs,  # then only the best checkpoint is loaded
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=4 * batch,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup,  # below 1: a share of all steps
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            bf16=settings.precision == "bfloat16",
            use_cpu=cpu,
            dataloader_pin_memory=not cpu,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,  # the best and the last; with a limit of 1 only the best would be left at the end
            load_best_model_at_end=True,
            restore_callback_states_from_checkpoint=True,  # restores how much patience was left
            metric_for_best_model="weighted_f1",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
        )
        trainer = _Trainer(
            settings,
            network,
            arguments,
            data_collator=Collator(tokenizer.pad_token_id or 0),
            train_dataset=train,
            eval_dataset=valid,
            compute_metrics=weighted_f1,
            callbacks=[
                EarlyStoppingCallback(settings.patience),
                _Progress(progress, settings.epochs * len(corpus.train)),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=checkpoint)
        _save(encoder, tokenizer, folder, corpus, before)
        return float(trainer.state.best_metric or 0.0)
    finally:
        torch.set_num_threads(threads)


def _save(encoder: Any, tokenizer: Any, folder: Path, corpus: LabelledCorpus, before: frozenset[str]) -> None:
    """Save the encoder as a folder of ``transformers``' layout, whole or not at all, with what it learned from."""
    partial = folder / f".{ENCODER}"
    shutil.rmtree(partial, ignore_errors=True)
    with quiet():
        encoder.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    write_learned(partial, _said(corpus), corpus.renamed, before)
    shutil.rmtree(folder / ENCODER, ignore_errors=True)
    partial.rename(folder / ENCODER)


def _said(corpus: LabelledCorpus) -> list[tuple[str, str]]:
    return [(one.id, one.text) for one in (*corpus.train.utterances, *corpus.valid.utterances)]


def _learned_before(text: TextSettings, folder: Path) -> frozenset[str]:
    """The marks of what the encoder that the training in ``folder`` begins with learned from, if it was fine-tuned.

    Raises:
        ExtractionError: it was, and does not name it.
    """
    base = locate(text.model, text.revision).folder
    if base is None:
        return frozenset()
    learned = read_learned(base)
    if learned is None and base.parent.resolve() != folder.resolve() and (base.parent / RECORD).exists():
        raise ExtractionError(
            f"text.model {text.model!r}: expected an encoder that names what it learned from, found one that was"
            f" fine-tuned and has no {LEARNED}; take the encoder that it began with"
        )
    return learned or frozenset()


class _Trainer(Trainer):
    """``transformers``' trainer, with a learning rate that depends on the layer."""

    def __init__(self, settings: FinetuneSettings, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._settings = settings

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """AdamW; biases and norms do not decay."""
        if self.optimizer is None:  # type: ignore[has-type]
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for weight, rate in rates(self.model, self._settings).items():
                decay = self._settings.weight_decay if weight.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(weight)
            self.optimizer = torch.optim.AdamW(
                [{"params": some, "lr": rate, "weight_decay": decay} for (rate, decay), some in groups.items()],
                fused=True,
            )
        return self.optimizer


def _whole_checkpoint(folder: Path) -> str | None:
    """The trainer's last complete checkpoint. Checkpoints that a kill left incomplete are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for path in [path for path in found if not _complete(path)]:
        shutil.rmtree(path)
        found.remove(path)
    return str(found[-1]) if found else None


def _complete(checkpoint: Path) -> bool:
    """Whether a checkpoint has the file that the trainer writes last, and that file is whole."""
    try:
        _state(checkpoint)
    except (OSError, ValueError):
        return False
    return True


def _state(checkpoint: str | Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    return state


def _evaluations_without_gain(checkpoint: str | Path) -> int:
    """How many evaluations in a row had brought no gain over the best when the checkpoint was written."""
    stopping = _state(checkpoint)["stateful_callbacks"][EarlyStoppingCallback.__name__]
    return int(stopping["attributes"]["early_stopping_patience_counter"])


class _Progress(TrainerCallback):
    """Reports how many more utterances were trained on; the sum is that of the whole training."""

    def __init__(self, progress: Callable[[int], None], utterances: int) -> None:
        self._progress, self._utterances = progress, utterances

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        now, before = (
            self._utterances * step // state.max_steps for step in (state.global_step, state.global_step - 1)
        )
        self._progress(now - before)
