"""A sentence's embedding by a pretrained encoder: RoBERTa-large in the paper, any ``transformers`` encoder here.

Tokens are pooled either at the first one (``cls``) or by their mean without padding (``mean``), in the last layer or in
the mean of the last four (the way of the COSMIC lineage).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extractors.base import ExtractorSettings, ExtractorSpec, Failure, Fault, Feature, Outcome
from extractors.compute import check, cores, device_named, side_by_side, to_device, torch_threads
from extractors.faults import one_by_one
from extractors.files import Sha256, sha256_of
from extractors.pretrained import Reference, load, locate
from pipeline.errors import ExtractionError, ItemError
from pipeline.schema import Modality, Status, Utterance

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger("bigfusion")

DEEP = 4  # layers that `last4` averages


class TextSettings(ExtractorSettings):
    """Which encoder, and how its tokens become one vector."""

    run_only: ClassVar[frozenset[str]] = frozenset({"model", "revision", "token_budget", "device", "threads"})
    """``model`` and ``revision`` are in the weights' digests: the same files elsewhere give the same numbers."""

    model: str = Field(
        default="FacebookAI/roberta-large", description="a hub's owner/name, a folder, or package:NAME/FOLDER"
    )
    revision: str | None = Field(default=None, description="the hub's commit; name one, or the numbers may move")
    pooling: Literal["cls", "mean"] = "mean"
    layers: Literal["last", "last4"] = "last"
    max_tokens: int = Field(default=512, ge=2, description="longer transcripts are cut, and the log counts them")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: twice as fast, and a sentence's numbers move by about 1 % with its batch",
    )
    token_budget: int | None = Field(
        default=None, ge=1, description="tokens in a batch, padding included; none: 512 on a processor, 8192 on a GPU"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(
        default=None, ge=1, description="batches side by side; none: one a processor, on a GPU two"
    )


class TextExtractor:
    """Sentence embeddings. Shape: (D,) float32, D the encoder's width (RoBERTa-large 1024, MiniLM 384)."""

    columns = None

    def __init__(self, settings: TextSettings, sha256: Sha256 = sha256_of) -> None:
        self._settings = settings
        self._sha256 = sha256

    @cached_property
    def _reference(self) -> Reference:
        return locate(self._settings.model, self._settings.revision)

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the encoder's files, pooling, layers and precision."""
        reference = self._reference
        notes = []
        if reference.folder is None and self._settings.revision is None:
            notes.append(f"text: the revision of {reference.name} is not pinned; set text.revision to a commit")
        weights = reference.digests(self._sha256)
        return ExtractorSpec(Modality.TEXT, __name__, self._settings.numbers(), weights, notes=tuple(notes))

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self._reference, self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One embedding for each utterance; one without words is ``missing_transcript``.

        Utterances are computed from the longest to the shortest, in batches of about ``token_budget`` tokens.

        Raises:
            ExtractionError: the encoder cannot be loaded, or the device is not there.
        """
        outcomes: list[Outcome] = [
            Failure(Status.MISSING_TRANSCRIPT, f"{utterance.id}: expected words, found none")
            for utterance in utterances
        ]
        spoken = [index for index, utterance in enumerate(utterances) if utterance.text.strip()]
        progress(len(utterances) - len(spoken))
        if not spoken:
            return outcomes
        encoder = self._encoder
        ids: dict[int, list[int]] = {}
        texts = [utterances[index].text.strip() for index in spoken]
        for index, tokens in zip(spoken, one_by_one(encoder.tokens, texts), strict=True):
            if isinstance(tokens, Fault):
                outcomes[index] = tokens
            else:
                ids[index] = tokens
        progress(len(spoken) - len(ids))
        named = list(ids)
        plan = [
            [named[place] for place in batch]
            for batch in batches([len(sentence) for sentence in ids.values()], encoder.token_budget)
        ]

        def work(batch: Sequence[int], stop: threading.Event) -> list[NDArray[np.float32] | Fault]:
            return one_by_one(lambda part: list(encoder.encode([ids[index] for index in part], stop)), batch)

        with torch_threads.held_at(1):
            rows = side_by_side(work, plan, encoder.threads, lambda batch: progress(len(batch)))
        for batch, vectors in zip(plan, rows, strict=True):
            for index, vector in zip(batch, vectors, strict=True):
                outcomes[index] = vector if isinstance(vector, Fault) else Feature(vector)
        return outcomes


class _Encoder:
    """A loaded encoder on its device."""

    def __init__(self, reference: Reference, settings: TextSettings) -> None:
        import torch

        self._settings = settings
        self._device: torch.device = device_named(settings.device)
        model, self._tokenizer = load(reference, getattr(torch, settings.precision))
        self._model = model.to(self._device)
        on_cpu = self._device.type == "cpu"
        # On a GPU one thread pads and copies the next batch while the other waits for its numbers.
        self.threads = settings.threads or (cores() if on_cpu else 2)
        # Larger batches leave a processor's caches: MPNet takes a third longer at 2048 tokens than at 512.
        self.token_budget = settings.token_budget or (512 if on_cpu else 8192)
        if settings.layers == "last4" and model.config.num_hidden_layers < DEEP:
            raise ExtractionError(
                f"text.layers 'last4': expected an encoder of at least {DEEP} layers, found "
                f"{model.config.num_hidden_layers} in {reference.name}; set text.layers to 'last'"
            )
        self._longest = longest_sentence(model, self._tokenizer, settings)
        self._padding: int = self._tokenizer.pad_token_id or 0  # masked, whatever it is

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids, its special tokens included, at most as many as the encoder takes."""
        ids = self._tokenizer(list(texts), verbose=False)["input_ids"]
        cut = sum(len(sentence) > self._longest for sentence in ids)
        if cut:
            log.warning("text: %d transcripts of more than %d tokens were cut there", cut, self._longest)
            ids = self._tokenizer(list(texts), truncation=True, max_length=self._longest)["input_ids"]
        return [list(sentence) for sentence in ids]

    def encode(self, ids: list[list[int]], stop: threading.Event) -> NDArray[np.float32]:
        """One batch of B sentences. Shape: (B, D) float32. Threads may share the encoder: nothing in it changes."""
        import torch

        check(stop)
        tokens, mask = (to_device(part, self._device) for part in padded(ids, self._padding))  # (B, N)
        with torch.inference_mode():
            vectors = sentence_vectors(self._model, tokens, mask, self._settings).cpu().numpy()  # (B, D)
        if not np.isfinite(vectors).all():
            raise ItemError(
                f"text.model {self._settings.model!r}: expected finite numbers, found some that are not; set "
                "text.precision to 'float32' or choose another model"
            )
        return np.asarray(vectors, dtype=np.float32)


def padded(ids: Sequence[Sequence[int]], padding: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids of B sentences and their mask (1 = real), filled up on the right. Shapes: (B, N), N the longest's."""
    lengths = np.array([len(sentence) for sentence in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, N)
    tokens = np.full(mask.shape, padding, np.int64)
    tokens[mask] = np.concatenate([np.asarray(sentence, np.int64) for sentence in ids])
    return tokens, mask.astype(np.int64)


def sentence_vectors(model: Any, tokens: Tensor, mask: Tensor, settings: TextSettings) -> Tensor:
    """One vector a sentence from an encoder. Shapes: tokens, mask (B, N), 1 = real -> (B, D) float32."""
    import torch

    deep = settings.layers == "last4"
    output = model(tokens, attention_mask=mask, output_hidden_states=deep)
    if deep:
        hidden = torch.stack([layer.float() for layer in output.hidden_states[-DEEP:]]).mean(0)  # (B, N, D)
    else:
        hidden = output.last_hidden_state.float()  # (B, N, D)
    return pooled(hidden, mask, settings.pooling)


def longest_sentence(model: Any, tokenizer: Any, settings: TextSettings) -> int:
    """How many tokens of a transcript are read."""
    return min(settings.max_tokens, _positions(model), int(tokenizer.model_max_length))


def pooled(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector a sentence: the first token's, or the mean over real tokens, the special ones included.

    Shapes: hidden (B, N, D), mask (B, N), 1 = real -> (B, D).
    """
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, N, 1)
    return (hidden * weights).sum(1) / weights.sum(1)


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Indices from the longest to the shortest, so many a batch that padded it holds at most ``token_budget`` tokens.

    Equal lengths keep their order; a sentence longer than the budget is a batch of its own.
    """
    order = iter(sorted(range(len(lengths)), key=lambda index: -lengths[index]))
    for longest in order:
        room = max(token_budget // lengths[longest] - 1, 0)
        yield [longest, *islice(order, room)]


def _positions(model: Any) -> int:
    """How many tokens the encoder has positions for. RoBERTa's kind counts them from after the padding token's id."""
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    reserved = getattr(getattr(model, "embeddings", None), "padding_idx", None)
    return positions if reserved is None else positions - reserved - 1
