"""A sentence's embedding by a pretrained encoder: RoBERTa-large in the paper, any ``transformers`` encoder here.

The encoder reads a sentence alone or within its dialogue (:mod:`text.passages`). The vector is either the first token
(``cls``) or the mean of the utterance's own tokens (``mean``). It comes from the last layer, or from the mean of the
last four layers (as in COSMIC and its successors).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bigfusion.extractors.base import ExtractorSpec, Failure, Fault, Feature, Outcome
from bigfusion.extractors.compute import check, cores, device_named, side_by_side, to_device, torch_threads
from bigfusion.extractors.faults import one_by_one
from bigfusion.extractors.files import Sha256, sha256_of
from bigfusion.extractors.frames import Level, level_field
from bigfusion.extractors.text.passages import Passage, Reading, batches, padded, readings, together
from bigfusion.extractors.text.pretrained import Reference, load, locate
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.schema import Modality, Status, Utterance, Window
from bigfusion.pipeline.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEEP = 4  # layers that `last4` averages
SHORT = 16  # a passage has room for at least this many tokens


class TextSettings(Settings):
    """Which encoder is used, and how its tokens become one vector."""

    run_only: ClassVar[frozenset[str]] = frozenset({"kind", "model", "revision", "token_budget", "device", "threads"})
    """``model`` and ``revision`` are in the weights' digests: the same files elsewhere give the same numbers."""

    kind: Literal["encoder"] = "encoder"
    model: str = Field(
        default="FacebookAI/roberta-large", description="a hub's owner/name, a folder, or package:NAME/FOLDER"
    )
    revision: str | None = Field(default=None, description="the hub's commit; name one, or the numbers may move")
    pooling: Literal["cls", "mean"] = "mean"
    layers: Literal["last", "last4"] = "last"
    context: int = Field(
        default=0, ge=0, description="utterances before it that are read with one, each after its speaker's name"
    )
    following: int = Field(default=0, ge=0, description="the same for those after it")
    max_tokens: int = Field(
        default=512, ge=2, description="of context as much is read as fits; longer transcripts are cut and counted"
    )
    level: Level = level_field()
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

    @property
    def window(self) -> Window:
        """How many utterances of its dialogue are read with an utterance."""
        return Window(self.context, self.following)

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.pooling == "cls" and self.following:
            raise ValueError("pooling 'cls' cannot tell which of a passage's utterances is meant where others follow")
        if any(self.window) and self.max_tokens < SHORT:
            raise ValueError(f"max_tokens below {SHORT} leave no room for a context")
        return self


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
        return ExtractorSpec(
            Modality.TEXT,
            "transformer",
            __name__,
            self._settings.numbers(),
            weights,
            window=self._settings.window,
            notes=tuple(notes),
        )

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self._reference, self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One embedding for each utterance. An utterance without words is ``missing_transcript``.

        Passages are computed from the longest to the shortest, in batches of about ``token_budget`` tokens.

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
        said: dict[int, Reading] = {}
        for index, reading in zip(spoken, one_by_one(encoder.read, [utterances[i] for i in spoken]), strict=True):
            if isinstance(reading, Fault):
                outcomes[index] = reading
            else:
                said[index] = reading
        progress(len(spoken) - len(said))
        named, read = list(said), together(list(said.values()))
        plan = [
            [read[place] for place in batch]
            for batch in batches([len(passage.tokens) for passage in read], encoder.token_budget)
        ]

        def work(batch: Sequence[Passage], stop: threading.Event) -> list[Vectors | Fault]:
            return one_by_one(lambda part: encoder.encode(part, stop), batch)

        with torch_threads.held_at(1):
            rows = side_by_side(
                work, plan, encoder.threads, lambda batch: progress(sum(len(one.spans) for one in batch))
            )
        for batch, found in zip(plan, rows, strict=True):
            for passage, vectors in zip(batch, found, strict=True):
                for number in passage.spans:
                    outcome = vectors if isinstance(vectors, Fault) else Feature(vectors[number])
                    outcomes[named[number]] = outcome
        return outcomes


Vectors = dict[int, NDArray[np.float32]]
"""Of a passage: each utterance's vector, (D,), by its number."""


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
        # Larger batches do not fit a processor's caches: MPNet takes a third longer at 2048 tokens than at 512.
        self.token_budget = settings.token_budget or (512 if on_cpu else 8192)
        if settings.layers == "last4" and model.config.num_hidden_layers < DEEP:
            raise ExtractionError(
                f"text.layers 'last4': expected an encoder of at least {DEEP} layers, found "
                f"{model.config.num_hidden_layers} in {reference.name}; set text.layers to 'last'"
            )
        self._longest = longest_sentence(model, self._tokenizer, settings)
        self._padding: int = self._tokenizer.pad_token_id or 0  # the mask hides it, so any id will do

    def read(self, utterances: Sequence[Utterance]) -> list[Reading]:
        """The tokens to read for each utterance, at most as many as the encoder takes."""
        return readings(self._tokenizer, utterances, self._longest)

    def encode(self, batch: Sequence[Passage], stop: threading.Event) -> list[Vectors]:
        """Encode one batch of passages. Threads may share the encoder, because nothing in it changes."""
        import torch

        check(stop)
        tokens, mask, own = (to_device(part, self._device) for part in padded(batch, self._padding))
        with torch.inference_mode():
            vectors = sentence_vectors(self._model, tokens, mask, own, self._settings).cpu().numpy()  # (P, S, D)
        if not np.isfinite(vectors).all():
            raise ItemError(
                f"text.model {self._settings.model!r}: expected finite numbers, found some that are not; set "
                "text.precision to 'float32' or choose another model"
            )
        return [dict(zip(passage.spans, rows, strict=False)) for passage, rows in zip(batch, vectors, strict=True)]


def sentence_vectors(model: Any, tokens: Tensor, mask: Tensor, own: Tensor, settings: TextSettings) -> Tensor:
    """One vector for each utterance, from an encoder.

    Shapes: tokens, mask (P, N), 1 = real; own (P, S, N), 1 = one of the utterance's own tokens -> (P, S, D) float32.
    """
    import torch

    deep = settings.layers == "last4"
    output = model(tokens, attention_mask=mask, output_hidden_states=deep)
    if deep:
        hidden = torch.stack([layer.float() for layer in output.hidden_states[-DEEP:]]).mean(0)  # (P, N, D)
    else:
        hidden = output.last_hidden_state.float()  # (P, N, D)
    return pooled(hidden, own, settings.pooling)


def longest_sentence(model: Any, tokenizer: Any, settings: TextSettings) -> int:
    """The largest number of tokens of a transcript that the encoder reads."""
    return min(settings.max_tokens, _positions(model), int(tokenizer.model_max_length))


def pooled(hidden: Tensor, own: Tensor, pooling: str) -> Tensor:
    """One vector for each utterance: the passage's first token, or the mean over the utterance's own tokens.

    Shapes: hidden (P, N, D), own (P, S, N), 1 = own -> (P, S, D). An utterance without tokens (padding) has zeros.
    """
    import torch

    if pooling == "cls":
        return hidden[:, :1].expand(-1, own.shape[1], -1)
    with torch.autocast(hidden.device.type, enabled=False):  # float32, because the sum has many terms
        return own @ hidden / own.sum(-1, keepdim=True).clamp(min=1)


def _positions(model: Any) -> int:
    """How many tokens the encoder can take. RoBERTa and its kind number positions from after the padding token's id."""
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    reserved = getattr(getattr(model, "embeddings", None), "padding_idx", None)
    return positions if reserved is None else positions - reserved - 1


SETTINGS = TextSettings


def make(settings: TextSettings, sha256: Sha256) -> TextExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.text.encoder_frames import FramedTextExtractor

        return FramedTextExtractor(settings, sha256)
    return TextExtractor(settings, sha256)
