"""A loaded speech encoder of ``transformers``: sound in, frames of its layers out, alone or in padded batches.

Padding must not change a number, and for many encoders it does. wav2vec 2.0 base and HuBERT base normalise over time
inside their convolutions; data2vec's stacked positional convolutions carry padding into the sound. So, first, the
convolutions that read the waveform always run on one unpadded window. Second, a loaded encoder is tried once: two
windows of noise together, padded, and each alone. If the frames differ, only windows of one length share a batch.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.audio.turns import RATE
from bigfusion.extractors.checkpoints import _first_line, quiet, refuse_unfit
from bigfusion.extractors.compute import cores, device_named
from bigfusion.pipeline.errors import ExtractionError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bigfusion.extractors.audio.transformer import SpeechEncoderSettings

DEEP = 4
"""Layers that `last4` averages."""
FRAME = 320
"""Samples of a frame of Whisper's encoder: 20 ms."""
WHISPER_SECONDS = 30
KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""PyTorch's library for processors keeps 1,024 kernels, one for each shape. As every turn has a length of its own, they
are hardly used again, and resident memory grew by 50 KiB a clip over 2,000 clips. With 32 it grew by 11, by 4 from the
1,000th on."""
TOLERANCE = 1e-3
"""Largest difference that padding may make to a frame, of its largest number, in float32."""
UNUSED = ("masked_spec_embed", "decoder.", "quantizer.", "project_hid.", "project_q.", "pooler.", "adapter.")
"""Weights that no frame depends on: of training's masks, of a decoder, of heads."""
ABOUT = "expected a speech encoder of transformers"


@dataclass(frozen=True)
class Prepared:
    """A window as the model reads it.

    ``values`` is the prepared sound: (n,), (T, F) or, for Whisper, (F, T). ``mask`` (T,) tells real columns if the
    feature extractor has padded. ``samples`` is the window's length, ``read`` the length with the silence that the
    model reads after it. Windows of one ``group`` may share a batch.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.int64] | None
    samples: int
    read: int
    group: str


class SpeechEncoder:
    """An encoder on its device. Threads may share it, because nothing in it changes."""

    def __init__(self, folder: Path, settings: SpeechEncoderSettings) -> None:
        import torch

        self._settings = settings
        self._device = device_named(settings.device)
        on_cpu = self._device.type == "cpu"
        os.environ.setdefault(KERNELS, "32")  # read when a process computes its first kernel
        if not on_cpu:  # so that a GPU does not round where a CPU does not
            torch.backends.cudnn.allow_tf32 = False
        # On a GPU one thread pads and copies the next batch while the other waits for its numbers. A processor gains
        # nothing from batches: a single window fills it, and needs no padding.
        self.threads = settings.threads or (cores() if on_cpu else 2)
        self.seconds_budget = settings.seconds_budget or (1e-3 if on_cpu else 240.0)
        self._extractor, self._model = _loaded(folder, settings)
        self._whisper = self._model.config.model_type == "whisper"
        self._front: Any = None
        self._dtype = torch.float32
        self._paddable = False
        self._check_settings()
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM's two kinds of masks
        self._take_apart()
        self._try()
        self._dtype = getattr(torch, settings.precision)
        for module in (self._model, self._front):
            if module is not None:
                module.to(self._device, self._dtype)

    # Preparing

    def prepared(self, window: NDArray[np.float32]) -> Prepared:
        """A window as the checkpoint's own feature extractor prepares it. Shape: (n,) float32, 16 kHz."""
        if self._whisper:
            return self._prepared_for_whisper(window)
        found = self._extractor(window, sampling_rate=RATE, return_tensors="np")
        name = self._model.main_input_name
        if name not in found:
            raise self._refused(f"{name} from its feature extractor", f"{', '.join(found)}")
        values = np.asarray(found[name][0], np.float32)
        mask = np.asarray(found["attention_mask"][0], np.int64) if "attention_mask" in found else None
        if mask is not None and values.ndim == 1:
            values, mask = values[: mask.sum()], None
        group = "any" if self._paddable else f"{values.shape}"
        return Prepared(values, None if mask is None or mask.all() else mask, len(window), len(window), group)

    def _prepared_for_whisper(self, window: NDArray[np.float32]) -> Prepared:
        length = WHISPER_SECONDS * RATE
        if self._settings.pad == "own":
            length = min(math.ceil(len(window) / RATE) * RATE, length)
        silent = np.pad(window, (0, length - len(window)))
        found = self._extractor(silent, sampling_rate=RATE, return_tensors="np", padding=False)
        return Prepared(np.asarray(found["input_features"][0], np.float32), None, len(window), length, f"{length}")

    # Encoding

    def encode(self, batch: Sequence[Prepared]) -> list[list[NDArray[np.float32]]]:
        """The real frames of each window: for each layer an array (T, D)."""
        import torch

        with torch.inference_mode():
            if self._whisper:
                layers, real = self._whisper_layers(batch)
            else:
                layers, real = self._layers(batch)
            chosen = [layer.float().cpu().numpy() for layer in self._chosen(layers)]
        return [
            [layer[row][: len(layer[row]) if keep is None else keep] for layer in chosen]
            for row, keep in enumerate(real)
        ]

    def _layers(self, batch: Sequence[Prepared]) -> tuple[list[Tensor], list[int | None]]:
        """The first layer's input and every layer's output, each (B, T, D), and how many frames of each are real."""
        import torch

        real: list[int | None] = [None] * len(batch)
        mask: Tensor | None = None
        if self._front is not None:
            fronts = [self._front(self._tensor(one.values)[None])[0].T for one in batch]  # (T, C)
            lengths = [len(front) for front in fronts]
            values = torch.nn.utils.rnn.pad_sequence(fronts, batch_first=True).transpose(1, 2)  # (B, C, T)
            if len(set(lengths)) > 1:
                mask = _of_lengths([len(one.values) for one in batch], self._here())
                real = list(lengths)
        else:
            values = torch.nn.utils.rnn.pad_sequence([self._tensor(one.values) for one in batch], batch_first=True)
            rows = [len(one.values) for one in batch]
            if len(set(rows)) > 1 or any(one.mask is not None for one in batch):
                mask = torch.nn.utils.rnn.pad_sequence(
                    [torch.from_numpy(_mask(one)) for one in batch], batch_first=True
                ).to(self._here())
                real = [int(_mask(one).sum()) for one in batch] if values.ndim == 3 else real
        return self._run(values, mask), real

    def _run(self, values: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The hidden states. The last is what the model calls so, behind its last normalisation."""
        deep = self._settings.layers != "last"
        more = {} if mask is None else {"attention_mask": mask}
        output = self._model(**{self._model.main_input_name: values}, **more, output_hidden_states=deep)
        if not deep:
            return [output.last_hidden_state]
        if len(output.hidden_states) != self._depth() + 1:
            raise ValueError(f"{len(output.hidden_states)} states of {self._depth()} layers")
        return [*output.hidden_states[:-1], output.last_hidden_state]

    def _whisper_layers(self, batch: Sequence[Prepared]) -> tuple[list[Tensor], list[int | None]]:
        """The same for Whisper, whose own method reads 30 s only.

        Only positions are cut: each position has its own vector, and a layer reads any number of frames.
        """
        import torch

        model, gelu = self._model, torch.nn.functional.gelu
        mel = torch.stack([self._tensor(one.values) for one in batch])  # (B, F, T)
        hidden = gelu(model.conv2(gelu(model.conv1(mel)))).transpose(1, 2)  # (B, T / 2, D)
        hidden = hidden + model.embed_positions.weight[: hidden.shape[1]]
        layers = [hidden]
        for layer in model.layers:
            found = layer(hidden, None)
            hidden = found[0] if isinstance(found, tuple) else found
            layers.append(hidden)
        layers[-1] = model.layer_norm(hidden)
        return layers, [-(-one.samples // FRAME) for one in batch]

    def _chosen(self, layers: list[Tensor]) -> list[Tensor]:
        import torch

        wanted = self._settings.layers
        if wanted == "last":
            return layers[-1:]
        if wanted == "last4":
            return [torch.stack([layer.float() for layer in layers[-DEEP:]]).mean(0)]
        return [layers[number] for number in ((wanted,) if isinstance(wanted, int) else wanted)]

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self._here().type != "cpu":
            return tensor.pin_memory().to(self._here(), self._dtype, non_blocking=True)
        return tensor.to(self._dtype)

    def _here(self) -> torch.device:
        found: torch.device = next(self._model.parameters()).device
        return found

    # Loading

    def _check_settings(self) -> None:
        count = self._depth()
        wanted = self._settings.layers
        numbers = [DEEP] if wanted == "last4" else [0] if wanted == "last" else np.atleast_1d(wanted).tolist()
        if max(numbers) > count:
            raise self._refused(f"layers up to {max(numbers)}", f"{count} layers", "choose others in layers")
        if self._whisper and self._settings.window_seconds > WHISPER_SECONDS:
            raise self._refused(
                "window_seconds of at most 30 for Whisper", f"{self._settings.window_seconds:g}", "set it to 30"
            )
        if not self._whisper and self._settings.pad != "full":
            raise self._refused("Whisper, which alone knows pad", self._model.config.model_type, "leave pad out")

    def _depth(self) -> int:
        """The encoder's layers. Moonshine's configuration counts its decoder's under the usual name."""
        config = self._model.config
        for name in ("encoder_num_hidden_layers", "num_hidden_layers"):
            if isinstance(count := getattr(config, name, None), int):
                return count
        raise self._refused("an encoder with a number of layers", config.model_type)

    def _take_apart(self) -> None:
        """Take the waveform's convolutions out of the model, so that they never see padding.

        An adapter behind the encoder, which shortens the frames for a decoder, is left out.
        """
        import torch

        for name in ("adapter", "intermediate_ffn"):
            if getattr(self._model, name, None) is not None:
                setattr(self._model, name, None)
        front = getattr(self._model, "feature_extractor", None)
        if self._model.main_input_name == "input_values" and isinstance(front, torch.nn.Module):
            self._front, self._model.feature_extractor = front, torch.nn.Identity()

    def _try(self) -> None:
        """Try the model on noise: frames must grow with the sound; may windows of several lengths share a batch?

        Raises:
            ExtractionError: it gives no frames of the sound.
        """
        noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
        pair = [self.prepared(noise[: RATE // 2]), self.prepared(noise)]
        try:
            alone = [self.encode([one])[0] for one in pair]
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise self._refused("frames of 2 s of sound", _first_line(error)) from None
        short, long = (len(frames[0]) for frames in alone)
        if not (alone[0][0].ndim == 2 and 0 < short < long and abs(long - 4 * short) <= 8):
            raise self._refused("frames that grow with the sound", f"{short} for 0.5 s and {long} for 2 s")
        if self._whisper:
            return
        try:
            both = self.encode(pair)
        except (RuntimeError, ValueError, TypeError, IndexError):  # it takes no padding at all
            return
        self._paddable = all(
            one.shape == other.shape and np.abs(one - other).max() <= TOLERANCE * np.abs(one).max()
            for frames, others in zip(alone, both, strict=True)
            for one, other in zip(frames, others, strict=True)
        )

    def _refused(self, expected: str, found: str, remedy: str = "choose another model") -> ExtractionError:
        return ExtractionError(f"audio model {self._settings.model!r}: expected {expected}, found {found}; {remedy}")


def _mask(one: Prepared) -> NDArray[np.int64]:
    return np.ones(len(one.values), np.int64) if one.mask is None else one.mask


def _of_lengths(lengths: Sequence[int], device: torch.device) -> Tensor:
    """1 for real samples. Shape: (B, n)."""
    import torch

    return (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long().to(device)


def _loaded(folder: Path, settings: SpeechEncoderSettings) -> tuple[Any, Any]:
    """A checkpoint's feature extractor and its encoder, in float32, on the CPU.

    Raises:
        ExtractionError: it cannot be loaded, lacks weights, brings its own code, or reads another rate.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoFeatureExtractor, AutoModel

    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    name = settings.model
    refuse_unfit(folder, "audio model", name)
    try:
        with quiet():
            extractor = AutoFeatureExtractor.from_pretrained(folder, **where)
            model, report = AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ExtractionError(
            f"audio model {name!r}: {ABOUT}, found: {_first_line(error)}; choose another model"
        ) from None
    absent = [key for key in sorted(report["missing_keys"]) if not key.startswith(UNUSED)]
    absent += sorted(map(str, report["mismatched_keys"]))
    if absent:
        raise ExtractionError(
            f"audio model {name!r}: expected all of the encoder's weights, found {absent[0]} absent or of another "
            "shape; fetch the model anew"
        )
    rate = getattr(extractor, "sampling_rate", None)
    if rate != RATE:
        raise ExtractionError(f"audio model {name!r}: expected one for {RATE} Hz, found {rate}; choose another model")
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    _fold(model)
    return extractor, model.eval()


def _fold(model: torch.nn.Module) -> None:
    """Compute weights that are stored as direction and length once, not in every call."""
    from torch.nn.utils import parametrize

    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
