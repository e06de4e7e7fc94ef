"""A sentence's embedding as its model's authors mean it: sentence-transformers' own pooling, or a decoder's last token.

Any encoder or decoder of ``transformers``. If its folder has sentence-transformers' configuration, ``pooling =
"stored"`` follows it: pooling, dense layers, normalisation, default prompt and longest sentence. Each transcript is
read alone, after a prompt if there is one. :mod:`text.encoder` reads dialogues.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import ExtractorSpec, Failure, Fault, Feature, Outcome
from bigfusion.extractors.checkpoints import FETCHING, MODEL, WEIGHTS, Checkpoint, _first_line, locate, refuse_unfit
from bigfusion.extractors.compute import check, cores, device_named, side_by_side, to_device, torch_threads
from bigfusion.extractors.faults import one_by_one
from bigfusion.extractors.files import Sha256
from bigfusion.extractors.frames import Level, level_field
from bigfusion.extractors.text.passages import batches
from bigfusion.extractors.text.pretrained import PARTS, Reference, load
from bigfusion.extractors.text.sentence_modules import READING
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.schema import Modality, Status, Utterance
from bigfusion.pipeline.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bigfusion.extractors.text.sentence_modules import SentenceModules

log = logging.getLogger("bigfusion")

DEEP = 4
"""Layers that `last4` averages."""
TRIED = ("I never said that, you know, and I have no idea why anybody in this house would think I did.", "Why?")
"""A long and a short sentence that a model is tried with."""
TOLERANCE, ROUGH = 1e-3, 5e-2
"""Largest difference that padding may make to a vector, of its largest number, in float32 and in bfloat16."""
SHORT = 8
"""Behind a prompt a transcript has at least this many tokens."""
TOKENIZER = tuple(part for part in PARTS if not part.startswith(("config", "*.safetensors")))
SENTENCES = (
    "modules.json", "config_sentence_transformers.json", "[0-9]_*/config.json", "[0-9]_*/*.safetensors", *READING,
)  # fmt: skip
"""sentence-transformers' files."""
NO_NUMBER = (
    *FETCHING,
    "NO_NUMBER",
    "_check_kind",  # errors
    "bigfusion.extractors.text.sentence_modules:_check_names",
    "bigfusion.extractors.text.sentence_modules:_check_places",
    "bigfusion.extractors.text.sentence_modules:_check_reading",
    "bigfusion.extractors.text.sentence_modules:ANOTHER_WAY",
    "bigfusion.extractors.text.sentence_modules:OPTIONS",
    "bigfusion.extractors.text.sentence_modules:USUAL",
    "bigfusion.extractors.text.pretrained:_fetch",  # the folder is known
)
"""Definitions that change no number."""


class SentenceSettings(Settings):
    """Which model, what is put before a transcript, and how its tokens become one vector."""

    run_only: ClassVar[frozenset[str]] = frozenset({"kind", "model", "revision", "token_budget", "device", "threads"})
    """``model`` and ``revision`` are in the weights' digests: the same files elsewhere give the same numbers."""

    kind: Literal["transformer"] = "transformer"
    model: str = Field(description="a folder, package:NAME/FOLDER or a hub's owner/name")
    revision: str | None = Field(default=None, description="the hub's commit; name one, or the numbers may move")
    pooling: Literal["stored", "cls", "mean", "last"] = Field(
        default="stored",
        description="stored: as sentence-transformers' files beside the model say; last: the last token, for decoders",
    )
    normalize: bool | None = Field(
        default=None, description="divide by the length; none: as those files say, with pooling of your own not"
    )
    prompt: str | None = Field(
        default=None, description="is put before each transcript, like 'query: '; none: the default of those files"
    )
    layers: Literal["last", "last4"] = Field(default="last", description="last4: the mean of the last four")
    max_tokens: int | None = Field(
        default=None, ge=2, description="longer transcripts are cut and counted; none: as many as the model takes"
    )
    level: Level = level_field()
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16: twice as fast, and numbers move by about 1 % with their batch"
    )
    token_budget: int | None = Field(
        default=None, ge=1, description="tokens in a batch, padding included; none: 512 on a processor, 8192 on a GPU"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(
        default=None, ge=1, description="batches side by side; none: one a processor, on a GPU two"
    )


class SentenceExtractor:
    """Sentence embeddings. Shape: (D,) float32; several poolings that a model stores stand side by side."""

    columns = None

    def __init__(self, settings: SentenceSettings, sha256: Sha256) -> None:
        self._settings, self._sha256 = settings, sha256

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Where the model lies."""
        tokenizer = (
            "tokenizer.json",
            "vocab.json",
            "vocab.txt",
            "tokenizer.model",
            "sentencepiece.bpe.model",
            "spiece.model",
            "spm.model",
        )
        needed = (("config.json",), WEIGHTS, tokenizer)
        parts = (*MODEL, *TOKENIZER, *SENTENCES)
        return locate("text model", self._settings.model, self._settings.revision, parts, needed, optional=True)

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the model's and sentence-transformers' files, prompt, pooling, layers and precision."""
        return ExtractorSpec(
            Modality.TEXT,
            "sentence_transformer",
            __name__,
            self._settings.numbers(),
            self.checkpoint.digests(self._sha256),
            idle=NO_NUMBER,
            notes=self.checkpoint.notes(),
        )

    @cached_property
    def _model(self) -> _Model:
        return _Model(self.checkpoint, self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """One embedding for each utterance. An utterance without words is ``missing_transcript``.

        Transcripts are computed from the longest to the shortest, equal ones once.

        Raises:
            ExtractionError: the model cannot be loaded, or the device is not there.
        """
        outcomes: list[Outcome] = [
            Failure(Status.MISSING_TRANSCRIPT, f"{utterance.id}: expected words, found none")
            for utterance in utterances
        ]
        same: dict[str, list[int]] = {}
        for index, utterance in enumerate(utterances):
            if text := utterance.text.strip():
                same.setdefault(text, []).append(index)
        progress(len(utterances) - sum(map(len, same.values())))
        if not same:
            return outcomes
        model = self._model
        texts = list(same)
        tokens = model.tokens(texts)
        plan = list(model.plan([len(row) for row in tokens]))

        def work(batch: Sequence[int], stop: threading.Event) -> list[NDArray[np.float32] | Fault]:
            check(stop)
            return one_by_one(model.encode, [tokens[index] for index in batch])

        def finished(batch: Sequence[int]) -> None:
            progress(sum(len(same[texts[index]]) for index in batch))

        with torch_threads.held_at(1):
            rows = side_by_side(work, plan, model.threads, finished)
        for batch, found in zip(plan, rows, strict=True):
            for index, vector in zip(batch, found, strict=True):
                for place in same[texts[index]]:
                    outcomes[place] = vector if isinstance(vector, Fault) else Feature(vector)
        return outcomes


class _Model:
    """A loaded model on its device. Threads may share it, because nothing in it changes."""

    def __init__(self, checkpoint: Checkpoint, settings: SentenceSettings) -> None:
        import torch

        from bigfusion.extractors.text.sentence_modules import read

        self._settings = settings
        self._device = device_named(settings.device)
        folder = checkpoint.fetched()
        refuse_unfit(folder, "text model", settings.model)
        self._modules: SentenceModules = read(folder, settings.model, settings.pooling)
        _check_kind(folder, settings.model)
        model, self._tokenizer = load(Reference(settings.model, None, folder), getattr(torch, settings.precision))
        if settings.layers == "last4" and model.config.num_hidden_layers < DEEP:
            raise ExtractionError(
                f"text model {settings.model!r}: expected at least {DEEP} layers for layers = 'last4', found "
                f"{model.config.num_hidden_layers}; set layers to 'last'"
            )
        self._model = model.to(self._device)
        if hasattr(model.config, "use_cache"):
            model.config.use_cache = False
        on_cpu = self._device.type == "cpu"
        self.threads = settings.threads or (cores() if on_cpu else 2)
        self.token_budget = settings.token_budget or (512 if on_cpu else 8192)
        types = self._tokenizer(TRIED[1], return_token_type_ids=True).get("token_type_ids") or [0]
        if any(types):
            raise ExtractionError(
                f"text model {settings.model!r}: expected a sentence whose tokens are of one type, found "
                f"{len(set(types))} types, which are not read here; choose another model"
            )
        self._padding: int = self._tokenizer.pad_token_id or 0  # the mask hides it, so any id will do
        self._prompt = self._modules.prompt if settings.prompt is None else settings.prompt
        self._longest = self._most_tokens(model)
        prompt = self._prompt_tokens() if self._prompt else 0
        self._passed = 0 if self._modules.pools_prompt else prompt
        self._paddable = True
        if self._prompt and prompt + SHORT > self._longest:
            raise ExtractionError(
                f"text model {settings.model!r}: expected a prompt that leaves {SHORT} of {self._longest} tokens to the"
                f" transcript, found one of {prompt}; shorten prompt"
            )

        self._try()

    def plan(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices in batches, the longest first. If padding changes a vector, a batch has sentences of one length."""
        if self._paddable:
            yield from batches(lengths, self.token_budget)
            return
        alike: dict[int, list[int]] = {}
        for index, length in enumerate(lengths):
            alike.setdefault(length, []).append(index)
        for length in sorted(alike, reverse=True):
            same = alike[length]
            yield from ([same[at] for at in part] for part in batches([length] * len(same), self.token_budget))

    def _try(self) -> None:
        """Try the model: do several lengths share a batch, and does a sentence have one vector?

        Convolutions over tokens (ConvBERT), Fourier transforms (FNet) and pooling of tokens (Funnel) let padding into a
        sentence.

        Raises:
            ExtractionError: the vector depends on what was read before.
        """
        told = [self._prompt + text for text in TRIED]
        pair = self._tokenizer(told, truncation=True, max_length=self._longest)["input_ids"]
        near = TOLERANCE if self._settings.precision == "float32" else ROUGH
        try:
            alone = [self.encode([row])[0] for row in (*pair, pair[0])]
        except ItemError as error:
            raise ExtractionError(str(error)) from None
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise ExtractionError(
                f"text model {self._settings.model!r}: expected vectors of sentences, found: {_first_line(error)}; "
                "choose another model"
            ) from None
        if np.abs(alone[0] - alone[2]).max() > near * np.abs(alone[0]).max():
            raise ExtractionError(
                f"text model {self._settings.model!r}: expected one vector for a sentence, found another when it was "
                "read again; choose another model"
            )
        try:
            together = self.encode(pair)
        except (
            RuntimeError,
            ValueError,
            TypeError,
            AttributeError,
            IndexError,
            ItemError,
        ):  # it takes no padding at all
            self._paddable = False
            return
        self._paddable = all(
            np.abs(one - other).max() <= near * np.abs(one).max() for one, other in zip(alone, together, strict=False)
        )

    def _prompt_tokens(self) -> int:
        """How many tokens at the beginning are the prompt's: its own without the one that closes it."""
        tokens = self._tokenizer(self._prompt)["input_ids"]
        return len(tokens) - (tokens[-1] in self._tokenizer.all_special_ids)

    def _most_tokens(self, model: Any) -> int:
        from bigfusion.extractors.text.encoder import _positions

        stated = [self._settings.max_tokens, self._modules.max_tokens]
        positions = _positions(model)  # XLNet says -1: it takes any number
        positions = positions if positions > 0 else 1 << 30
        return min([positions, int(self._tokenizer.model_max_length), *(one for one in stated if one)])

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text behind the prompt, special ones included, cut as the tokenizer cuts."""
        told = [self._prompt + text for text in texts]
        told = [text.lower() for text in told] if self._modules.lower else told
        found: list[list[int]] = self._tokenizer(told, verbose=False)["input_ids"]
        long = [index for index, row in enumerate(found) if len(row) > self._longest]
        for index in long:
            found[index] = self._tokenizer(told[index], truncation=True, max_length=self._longest)["input_ids"]
        if long:
            log.warning("text: %d transcripts of more than %d tokens were cut there", len(long), self._longest)
        return found

    def encode(self, batch: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The vectors of a batch. It is padded on the right: what is before a token is the same as without a batch."""
        import torch

        width = max(map(len, batch))
        tokens = np.full((len(batch), width), self._padding, np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, one in enumerate(batch):
            tokens[row, : len(one)], mask[row, : len(one)] = one, 1
        with torch.inference_mode():
            hidden = self._hidden(to_device(tokens, self._device), to_device(mask, self._device))
            vectors = self._modules.vectors(hidden, to_device(mask, self._device), self._passed)  # (B, D)
            if self._modules.normalize and self._settings.normalize is None:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            vectors = vectors[:, : self._modules.truncate]
            if self._settings.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            found = vectors.cpu().numpy()
        if not np.isfinite(found).all():
            raise ItemError(
                f"text model {self._settings.model!r}: expected finite numbers, found some that are not; set precision"
                " to 'float32' or choose another model"
            )
        return list(found)

    def _hidden(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The chosen layer. Shape: (B, N) -> (B, N, D) float32."""
        import torch

        deep = self._settings.layers == "last4"
        output = self._model(tokens, attention_mask=mask, output_hidden_states=deep)
        last: Tensor = output.last_hidden_state.float()
        if not deep:
            return last
        return torch.stack([*(layer.float() for layer in output.hidden_states[-DEEP:-1]), last]).mean(0)


def _check_kind(folder: Path, name: str) -> None:
    """What model it is. Code that comes with a model is not run, nor is anybody asked whether it may.

    Raises:
        ExtractionError: the model or its tokenizer needs such code, or it is encoder and decoder: nothing says which of
            the two is meant, and the decoder reads the sentence moved by one.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ExtractionError(
            f"text model {name!r}: expected a transformers model, found: {_first_line(error)}; choose another model"
        ) from None
    if config.is_encoder_decoder:
        raise ExtractionError(
            f"text model {name!r}: expected an encoder or a decoder, found {config.model_type}, which is both; choose "
            "another model"
        )


SETTINGS = SentenceSettings


def make(settings: SentenceSettings, sha256: Sha256) -> SentenceExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.text.transformer_frames import FramedSentenceExtractor

        return FramedSentenceExtractor(settings, sha256)
    return SentenceExtractor(settings, sha256)
