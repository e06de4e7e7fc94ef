"""Fine-tuning a text encoder on a corpus's emotions, with the training dialogues alone.

A linear layer classifies the very vector that :class:`~extractors.text.TextExtractor` stores, under its context,
pooling and layers. ``transformers``' own trainer does the work: it resumes, follows mixed precision and gradient
checkpointing, and stops early on the validation split. What is kept is the encoder, as a folder that ``text.model`` can
name.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import set_seed

from extractors.compute import device_named
from extractors.files import Sha256, sha256_of
from extractors.finetune_settings import FinetuneSettings
from extractors.passages import Passage, Span, padded, readings, together
from extractors.pretrained import load, locate, quiet
from extractors.text import TextSettings, longest_sentence, sentence_vectors
from pipeline.atomic import write_whole
from pipeline.digest import digest
from pipeline.errors import ExtractionError
from pipeline.schema import Utterance

log = logging.getLogger("bigfusion")

ENCODER, RECORD = "encoder", "finetuned.json"
NO_CLASS = -100


@dataclass(frozen=True)
class LabelledTexts:
    """Utterances of one split and the position of each one's class; utterances without either are left out."""

    utterances: tuple[Utterance, ...]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, utterances: Sequence[Utterance], labels: Sequence[int]) -> LabelledTexts:
        """Those that have words and a class."""
        kept = [pair for pair in zip(utterances, labels, strict=True) if pair[0].text.strip() and pair[1] >= 0]
        return cls(tuple(utterance for utterance, _ in kept), tuple(label for _, label in kept))

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def digest(self) -> str:
        """Stands for all that is read of them."""
        read = [(one.text, one.context and (one.context.speaker, one.context.before, one.context.after))
                for one in self.utterances]  # fmt: skip
        return digest([read, self.labels])


@dataclass(frozen=True)
class LabelledCorpus:
    """What the encoder learns from and what judges it; ``classes`` names class c of the labels."""

    classes: tuple[str, ...]
    train: LabelledTexts
    valid: LabelledTexts


@dataclass(frozen=True)
class Finetuned:
    """What came of it: the encoder's folder, the seed that made it, and the validation WF1 (0 to 1) of every seed."""

    encoder: Path
    seed: int
    weighted_f1: dict[int, float]


class _Classifier(nn.Module):
    """An encoder, the extractor's own pooling, and one linear layer."""

    def __init__(
        self, encoder: nn.Module, classes: int, text: TextSettings, dropout: float, weight: Tensor | None
    ) -> None:
        super().__init__()
        width: int = encoder.config.hidden_size  # type: ignore[assignment, union-attr]
        self.encoder, self._text = encoder, text
        self.drop, self.classes = nn.Dropout(dropout), nn.Linear(width, classes)
        self.weight: Tensor | None
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, own: Tensor, labels: Tensor) -> dict[str, Tensor]:
        vectors = sentence_vectors(self.encoder, input_ids, attention_mask, own, self._text)  # (P, S, D)
        logits = self.classes(self.drop(vectors)).float()  # (P, S, C)
        loss = functional.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            weight=self.weight,
            ignore_index=NO_CLASS,
        )
        return {"loss": loss, "logits": logits}


def total(settings: FinetuneSettings, corpus: LabelledCorpus) -> int:
    """What ``progress`` of :func:`finetune` sums up to: the utterances of every epoch of every seed."""
    return len(settings.seeds) * settings.epochs * len(corpus.train)


def finetune(
    text: TextSettings,
    settings: FinetuneSettings,
    corpus: LabelledCorpus,
    folder: Path,
    sha256: Sha256 = sha256_of,
    progress: Callable[[int], None] = lambda done: None,
) -> Finetuned:
    """Fine-tune the encoder of ``text`` and keep that of the best seed in ``folder``; goes on where it was stopped.

    A kill costs at most the epoch that it interrupts. ``progress(n)`` is called as n more utterances were learnt from.

    Raises:
        ExtractionError: no encoder or device, an empty split, or ``folder`` holds another training.
    """
    for name, split in (("training", corpus.train), ("validation", corpus.valid)):
        if not len(split):
            raise ExtractionError(f"finetune-text: expected labelled {name} utterances, found none; check the corpus")
    inputs = _inputs(text, settings, corpus, sha256)
    record = _begin(folder, inputs)
    scores = {int(seed): score for seed, score in record["weighted_f1"].items()}
    for seed in settings.seeds:
        if seed not in scores:
            scores[seed] = _one_seed(text, settings, corpus, folder / f"seed-{seed}", seed, progress)
            _write(folder, record | {"weighted_f1": scores})  # a seed that was done before is never trained again
            log.info("finetune-text: seed %d: validation WF1 %.1f", seed, 100 * scores[seed])
    best = max(scores, key=lambda seed: scores[seed])
    encoder = folder / ENCODER
    if (newly := folder / f"seed-{best}" / ENCODER).exists():
        shutil.rmtree(encoder, ignore_errors=True)
        newly.rename(encoder)
    for seed in settings.seeds:
        shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
    return Finetuned(encoder, best, scores)


def _inputs(
    text: TextSettings,
    settings: FinetuneSettings,
    corpus: LabelledCorpus,
    sha256: Sha256,
) -> dict[str, Any]:
    """All that the result depends on."""
    return {
        "base": locate(text.model, text.revision).digests(sha256),
        "text": text.numbers(),
        "finetune": settings.model_dump(mode="json", exclude={"seeds", "device", "threads"}),
        "classes": list(corpus.classes),
        "train": corpus.train.digest,
        "valid": corpus.valid.digest,
    }


def _begin(folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """The folder's record: a new one, or that of the same training begun earlier."""
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
    folder: Path,
    seed: int,
    progress: Callable[[int], None],
) -> float:
    """Train one seed and save its best encoder to ``folder / ENCODER``. Returns its validation WF1."""
    cpu = device_named(settings.device).type == "cpu"
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    try:
        set_seed(seed)  # the classes' first weights
        encoder, tokenizer = load(locate(text.model, text.revision), torch.float32)
        _freeze(encoder, settings.frozen_layers)
        if settings.gradient_checkpointing:
            encoder.gradient_checkpointing_enable()
        classes = len(corpus.classes)
        weight = _weights(corpus.train, classes) if settings.class_weights else None
        network = _Classifier(encoder.train(), classes, text, settings.dropout, weight)
        longest = longest_sentence(encoder, tokenizer, text)
        train, valid = (_rows(tokenizer, split, longest) for split in (corpus.train, corpus.valid))
        batch = max(1, round(settings.batch_size * len(train) / len(corpus.train)))  # passages
        arguments = TrainingArguments(
            output_dir=str(folder),
            seed=seed,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=4 * batch,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup,  # below 1: a share
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            bf16=settings.precision == "bfloat16",
            use_cpu=cpu,
            dataloader_pin_memory=not cpu,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
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
            data_collator=_Collator(tokenizer.pad_token_id or 0),
            train_dataset=train,
            eval_dataset=valid,
            compute_metrics=_weighted_f1,
            callbacks=[
                EarlyStoppingCallback(settings.patience),
                _Progress(progress, settings.epochs * len(corpus.train)),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=_whole_checkpoint(folder))
        _save(encoder, tokenizer, folder)
        return float(trainer.state.best_metric or 0.0)
    finally:
        torch.set_num_threads(threads)


def _save(encoder: Any, tokenizer: Any, folder: Path) -> None:
    """The encoder as a folder of ``transformers``' layout, whole or not at all."""
    partial = folder / f".{ENCODER}"
    shutil.rmtree(partial, ignore_errors=True)
    with quiet():
        encoder.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    shutil.rmtree(folder / ENCODER, ignore_errors=True)
    partial.rename(folder / ENCODER)


def _freeze(encoder: Any, count: int) -> None:
    """Leave all below the encoder's layer ``count`` (0 is the lowest) as it is; 0 leaves nothing."""
    if not count:
        return
    layers = _layers(encoder)
    if count > len(layers):
        raise ExtractionError(
            f"finetune.frozen_layers {count}: expected an encoder of as many layers, found {len(layers)}; set it lower"
        )
    encoder.requires_grad_(False)
    for layer in layers[count:]:
        layer.requires_grad_(True)


def _layers(encoder: Any) -> list[nn.Module]:
    """The encoder's layers, the lowest first."""
    depth = encoder.config.num_hidden_layers
    found = next((m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == depth), None)
    if found is None:
        raise ExtractionError(
            f"finetune: expected an encoder whose {depth} layers can be told apart, found "
            f"{type(encoder).__name__}; leave layer_decay at 1 and frozen_layers at 0"
        )
    return list(found)


def rates(network: _Classifier, settings: FinetuneSettings) -> dict[nn.Parameter, float]:
    """Each trained weight's learning rate: lower from layer to layer, below them as the next one would have it."""
    rate, share = settings.learning_rate, settings.layer_decay
    layers = _layers(network.encoder) if share < 1 else []
    found = {weight: rate * share ** len(layers) for weight in network.encoder.parameters()}
    for below, layer in enumerate(reversed(layers)):
        found |= dict.fromkeys(layer.parameters(), rate * share**below)
    found |= dict.fromkeys(network.classes.parameters(), rate * settings.classes_rate)
    return {weight: own for weight, own in found.items() if weight.requires_grad}


class _Trainer(Trainer):
    """``transformers``' trainer with a learning rate by depth."""

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


def _rows(tokenizer: Any, split: LabelledTexts, longest: int) -> list[dict[str, Any]]:
    """Token ids of each passage, and tokens and class of each utterance that is read in it.

    Equal utterances ("Yeah.") are rows of their own: as one they would always be learnt from side by side.
    """
    rows = []
    for passage in together(readings(tokenizer, split.utterances, longest)):
        copies: dict[Span, list[int]] = {}
        for number, span in passage.spans.items():
            copies.setdefault(span, []).append(split.labels[number])
        for labels in zip_longest(*copies.values()):
            read = [(span, label) for span, label in zip(copies, labels, strict=True) if label is not None]
            rows.append(
                {
                    "input_ids": passage.tokens,
                    "spans": tuple(span for span, _ in read),
                    "labels": [label for _, label in read],
                }
            )
    return rows


class _Collator:
    """Rows of :func:`_rows` as tensors: tokens and mask (P, N), own (P, S, N), labels (P, S)."""

    def __init__(self, filler: int) -> None:
        self._filler = filler

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        read: list[Passage] = []
        for row in rows:
            spans: tuple[Span, ...] = row["spans"]
            read.append(Passage(row["input_ids"], dict(enumerate(spans))))
        tokens, mask, own = map(torch.from_numpy, padded(read, self._filler))
        labels = torch.full(own.shape[:2], NO_CLASS)
        for at, row in enumerate(rows):
            labels[at, : len(row["labels"])] = torch.tensor(row["labels"])
        return {"input_ids": tokens, "attention_mask": mask, "own": own, "labels": labels}


def _weights(train: LabelledTexts, classes: int) -> Tensor:
    """Inverse frequencies with mean 1 over the utterances; a class that does not occur weighs nothing. Shape: (C,)."""
    counts = np.bincount(train.labels, minlength=classes)
    weights = np.where(counts > 0, len(train) / (np.maximum(counts, 1) * (counts > 0).sum()), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def _weighted_f1(predicted: Any) -> dict[str, float]:
    labels: NDArray[np.int64] = np.asarray(predicted.label_ids)  # (P, S)
    classes: NDArray[np.int64] = np.asarray(predicted.predictions).argmax(-1)  # (P, S)
    real = labels != NO_CLASS
    return {"weighted_f1": float(f1_score(labels[real], classes[real], average="weighted", zero_division=0))}


def _whole_checkpoint(folder: Path) -> str | None:
    """The trainer's last checkpoint that was written to its end; what a kill left half written is removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for path in [path for path in found if not _complete(path)]:
        shutil.rmtree(path)
        found.remove(path)
    return str(found[-1]) if found else None


def _complete(checkpoint: Path) -> bool:
    """Whether the file that the trainer writes last is there and whole."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


class _Progress(TrainerCallback):
    """Says how many utterances more were learnt from, of as many as the whole training has."""

    def __init__(self, progress: Callable[[int], None], utterances: int) -> None:
        self._progress, self._utterances = progress, utterances

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        now, before = (
            self._utterances * step // state.max_steps for step in (state.global_step, state.global_step - 1)
        )
        self._progress(now - before)
