"""Settings of a network and its training as the text of a settings file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bigfusion.model.settings import ModelSettings, TrainSettings


def settings_text(model: ModelSettings, train: TrainSettings) -> str:
    """TOML with every value, so that it means the same after a default has changed.

    What changes no number is left out, and so is what nobody chose and the corpus decides.
    """
    left = model.left_to_corpus | ({"modalities"} - model.model_fields_set)
    own = model.model_dump(mode="json", exclude_none=True, exclude=set(left))
    training = train.model_dump(mode="json", exclude_none=True, exclude=set(train.run_only))
    return "\n".join(_lines({"model": own, "train": training})) + "\n"


def _lines(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if name and (plain or not table):
        yield f"\n[{name}]"
    for key, value in plain.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{name}.{key}" if name else key)
