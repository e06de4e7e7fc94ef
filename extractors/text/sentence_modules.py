"""What sentence-transformers' files beside a model say: pooling, dense layers, normalisation, prompt, longest sentence.

``modules.json`` lists the modules behind the network. Only modules that are known are accepted, in the order network,
pooling, dense layers and normalisation. Anything else would be a number that the authors did not mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.extractors.checkpoints import read_json
from bigfusion.pipeline.errors import ExtractionError

if TYPE_CHECKING:
    from torch import Tensor

MODES = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip
"""The switches of older files, and the modes of newer ones, in the order in which several stand side by side."""
OWNER = "sentence_transformers."
"""What the name of a module's class begins with; any other is code that comes with a model."""
PLACE = re.compile(r"[0-9]_[^/\\]*")
"""A module's folder."""
READING = (
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)  # fmt: skip
"""How the network reads a sentence. The first that says anything counts; only older versions know the others."""
USUAL = {"method": "forward", "method_output_name": "last_hidden_state"}
ANOTHER_WAY = ("processing_kwargs", "query_length", "document_length", "query_expansion", "tokenizer_name_or_path")
OPTIONS = {
    "model_kwargs": ("dtype", "torch_dtype", "attn_implementation", "add_pooling_layer"),
    "model_args": ("dtype", "torch_dtype", "attn_implementation", "add_pooling_layer"),
    "processor_kwargs": ("padding_side", "use_fast"), "tokenizer_args": ("padding_side", "use_fast"),
    "config_kwargs": (), "config_args": (),
}  # fmt: skip
"""What the library hands on to transformers, by its newer and its older name, and which of it changes no number."""
ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid")


@dataclass(frozen=True)
class Dense:
    """A dense layer behind the pooling: its weights, and its activation's name in ``torch.nn``.

    ``residual``: what goes in is added to what comes out, through weights of its own if the widths differ.
    """

    weights: dict[str, Any]
    activation: str
    residual: bool = False

    def applied(self, vectors: Tensor) -> Tensor:
        """Shape: (B, D) -> (B, D')."""
        import torch

        weight: Tensor = self.weights["linear.weight"].to(vectors)
        bias: Tensor | None = self.weights.get("linear.bias")
        bias = None if bias is None else bias.to(vectors)
        activation: Callable[[Tensor], Tensor] = getattr(torch.nn, self.activation)()
        found = activation(torch.nn.functional.linear(vectors, weight, bias))
        if not self.residual:
            return found
        around: Tensor | None = self.weights.get("residual.weight")
        return found + (vectors if around is None else torch.nn.functional.linear(vectors, around.to(vectors)))


@dataclass(frozen=True)
class SentenceModules:
    """How tokens become a vector. ``pools_prompt``: the prompt's tokens are pooled like the others.

    ``truncate``: only so many numbers of the finished vector are kept.
    """

    modes: tuple[str, ...]
    pools_prompt: bool = True
    dense: tuple[Dense, ...] = ()
    normalize: bool = False
    truncate: int | None = None
    prompt: str = ""
    max_tokens: int | None = None
    lower: bool = False

    def vectors(self, hidden: Tensor, mask: Tensor, passed: int) -> Tensor:
        """Pooled vectors behind the dense layers, not normalised. The first ``passed`` tokens are not pooled.

        Shapes: hidden (B, N, D) float32, mask (B, N), 1 = real, on the left -> (B, D').
        """
        import torch

        own = mask.clone()
        own[:, :passed] = 0
        found = torch.cat([pooled(hidden, own, mode) for mode in self.modes], 1)
        for layer in self.dense:
            found = layer.applied(found)
        return found


def pooled(hidden: Tensor, own: Tensor, mode: str) -> Tensor:
    """One vector a sentence. Shapes: hidden (B, N, D), own (B, N), 1 = pooled -> (B, D)."""
    import torch

    rows = torch.arange(len(own), device=own.device)
    if mode == "cls":
        return hidden[rows, own.argmax(1)]
    if mode == "lasttoken":
        return hidden[rows, own.shape[1] - 1 - own.flip(1).argmax(1)]
    if mode == "max":
        return hidden.masked_fill(own[..., None] == 0, -torch.inf).amax(1)
    weights = own.float()
    if mode == "weightedmean":
        weights = weights * torch.arange(1, own.shape[1] + 1, device=own.device)
    total = (hidden * weights[..., None]).sum(1)
    count = weights.sum(1, keepdim=True).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


def read(folder: Path, name: str, pooling: str) -> SentenceModules:
    """What the files of ``folder`` say; with another ``pooling`` than ``stored``, that pooling and nothing behind it.

    Raises:
        ExtractionError: pooling is to be the stored one, and there is none, or one that is not known here.
    """
    stored = _sentence(folder, name)
    if pooling != "stored":
        return SentenceModules(({"last": "lasttoken"}.get(pooling, pooling),), **stored)
    modules = _modules(folder, name)
    order = [kind for kind, _ in modules]
    if order != ["Transformer", "Pooling", *["Dense"] * order.count("Dense"), *["Normalize"] * ("Normalize" in order)]:
        raise ExtractionError(
            f"text model {name!r}: expected the modules Transformer, Pooling, Dense and Normalize, found "
            f"{', '.join(order)}; set pooling to 'mean' or 'last'"
        )
    pooled_by = modules[1][1] / "config.json"
    config = _json(pooled_by, name)
    if not config:
        raise ExtractionError(
            f"text model {name!r}: expected {pooled_by.relative_to(folder)}, which says how to pool, found none; "
            "fetch the model anew, or set pooling to 'mean' or 'last'"
        )
    modes = config.get("pooling_mode") or [mode for key, mode in MODES.items() if config.get(key)] or "mean"
    modes = (modes,) if isinstance(modes, str) else tuple(map(str, modes))
    if unknown := set(modes) - {*MODES.values()}:
        raise ExtractionError(
            f"text model {name!r}: expected pooling among {', '.join(MODES.values())}, found {', '.join(unknown)}; "
            "set pooling to 'mean' or 'last'"
        )
    dense = tuple(_dense(path, name) for kind, path in modules if kind == "Dense")
    for kind, path in modules[1:]:
        _check_names(_json(path / "config.json", name), f"{path.relative_to(folder)}/config.json", kind, name)
    pools_prompt = bool(config.get("include_prompt", True))
    return SentenceModules(modes, pools_prompt, dense, "Normalize" in order, _truncation(folder, name), **stored)


def _check_names(config: dict[str, Any], file: str, kind: str, name: str) -> None:
    """A module may read or write something else than the sentence's vector, for instance each token's."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ExtractionError(
                f"text model {name!r}: expected {kind} of the sentence's vector, found {key} = {config[key]!r} in "
                f"{file}; choose another model, or set pooling to 'mean' or 'last'"
            )


def _truncation(folder: Path, name: str) -> int | None:
    """How many numbers of a vector the authors keep."""
    whole = _json(folder / "config_sentence_transformers.json", name)
    kind, kept = whole.get("model_type", "SentenceTransformer"), whole.get("truncate_dim")
    if kind != "SentenceTransformer" or not (kept is None or (type(kept) is int and kept > 0)):
        raise ExtractionError(
            f"text model {name!r}: expected a SentenceTransformer, with truncate_dim a number if there is one, found "
            f"{kind} and {kept} in config_sentence_transformers.json; choose another model, or set pooling to 'mean' "
            "or 'last'"
        )
    return kept


def _modules(folder: Path, name: str) -> list[tuple[str, Path]]:
    """The kind and the folder of each module, in order."""
    listing = folder / "modules.json"
    if not listing.is_file():
        raise ExtractionError(
            f"text model {name!r}: expected modules.json of sentence-transformers in the folder, found none; set "
            "pooling to 'mean', or to 'last' for a decoder"
        )
    found = read_json(listing, "text model", name, list)
    if not found or not all(isinstance(one, dict) and {"type", "path"} <= one.keys() for one in found):
        raise ExtractionError(
            f"text model {name!r}: expected modules with type and path in {listing}, found others; fetch the model anew"
        )
    foreign = [str(module["type"]) for module in found if not str(module["type"]).startswith(OWNER)]
    if foreign:
        raise ExtractionError(
            f"text model {name!r}: expected modules of sentence-transformers in modules.json, found {foreign[0]}, code "
            "that comes with the model and is never run; choose another model, or set pooling to 'mean' or 'last'"
        )
    _check_places([str(module["path"]) for module in found], name)
    return [(str(module["type"]).rpartition(".")[2], folder / module["path"]) for module in found]


def _check_places(paths: list[str], name: str) -> None:
    """Files elsewhere would be read, but neither digested nor downloaded nor given away with a model."""
    wrong = [path for path in paths[:1] if path] + [path for path in paths[1:] if not PLACE.fullmatch(path)]
    if wrong:
        raise ExtractionError(
            f"text model {name!r}: expected in modules.json the network in the folder itself and modules in folders "
            f"like 1_Pooling, found {wrong[0]!r}; save the model anew with sentence-transformers, or set pooling to "
            "'mean' or 'last'"
        )


def _dense(folder: Path, name: str) -> Dense:
    config, path = _json(folder / "config.json", name), folder / "model.safetensors"
    stated = str(config.get("activation_function", "torch.nn.Tanh"))
    activation = stated.rpartition(".")[2] if stated.startswith("torch.") else stated
    if activation not in ACTIVATIONS or not path.is_file():
        raise ExtractionError(
            f"text model {name!r}: expected in {folder.name} model.safetensors and an activation among "
            f"{', '.join(ACTIVATIONS)}, found {activation} or no such file; set pooling to 'mean' or 'last'"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        found = ", ".join(f"{key} {tuple(values.shape)}" for key, values in sorted(weights.items()))
    except (OSError, SafetensorError) as error:
        weights, found = {}, str(error)
    sides = [config.get("out_features"), config.get("in_features")]
    if "linear.weight" not in weights or list(weights["linear.weight"].shape) != sides:
        raise ExtractionError(
            f"text model {name!r}: expected linear.weight {tuple(sides)} in {path}, found {found}; fetch the model anew"
        )
    return Dense(weights, activation, bool(config.get("use_residual", False)))


def _sentence(folder: Path, name: str) -> dict[str, Any]:
    """What is put before a sentence, its largest number of tokens, and whether it is written in lower case."""
    reads: dict[str, Any] = next(filter(None, (_json(folder / file, name) for file in READING)), {})
    _check_reading(reads, name)
    whole = _json(folder / "config_sentence_transformers.json", name)
    prompts, most = whole.get("prompts") or {}, reads.get("max_seq_length")
    if not isinstance(prompts, dict) or not isinstance(most, int | None):
        file = "sentence_bert_config.json" if isinstance(prompts, dict) else "config_sentence_transformers.json"
        raise ExtractionError(
            f"text model {name!r}: expected prompts by name and max_seq_length, a number, found others in "
            f"{folder / file}; fetch the model anew"
        )
    prompt = prompts.get(whole.get("default_prompt_name")) or ""
    return {"prompt": prompt, "max_tokens": most, "lower": bool(reads.get("do_lower_case", False))}


def _check_reading(reads: dict[str, Any], name: str) -> None:
    """Refuse what would make the library read a sentence in another way than it is read here."""
    asked = [key for key in ANOTHER_WAY if reads.get(key)]
    for key, harmless in OPTIONS.items():
        options = reads.get(key) or {}
        asked += [f"{key}.{option}" for option in options if option not in harmless]
    modalities = reads.get("modality_config") or {"text": USUAL}
    text = modalities.get("text") if isinstance(modalities, dict) else None
    usual = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    asked += [key for key, value in usual.items() if reads.get(key, value) != value]
    asked += [] if text == USUAL else ["modality_config"]
    if asked:
        raise ExtractionError(
            f"text model {name!r}: expected sentences that are read as they are, found {asked[0]} in "
            f"{READING[0]}; choose another model"
        )


def _json(path: Path, name: str) -> dict[str, Any]:
    """The object in a file; empty if the file is not there."""
    found: dict[str, Any] = read_json(path, "text model", name) if path.is_file() else {}
    return found
