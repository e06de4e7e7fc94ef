"""The tables ``[text]``, ``[audio]`` and ``[visual]``: a modality's first extractor, and any number of named ones.

``[audio]`` itself holds the settings of the first extractor (openSMILE; ``[audio.opensmile]`` means the same), and
``[audio.wavlm]`` those of one more. Its ``kind`` names the file ``extractors/audio/KIND.py``; without it, the table's
name is the kind. There is no list of kinds: a file that defines ``SETTINGS`` and ``make`` is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Discriminator, Tag, model_validator
from pydantic_core import PydanticCustomError

from bigfusion.extractors.audio.opensmile import AudioSettings
from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.extractors.visual.speaker_face import VisualSettings
from bigfusion.pipeline.schema import FIRST_NAMES, Modality
from bigfusion.pipeline.settings import Settings

FIRST: dict[Modality, type[Settings]] = {
    Modality.TEXT: TextSettings,
    Modality.AUDIO: AudioSettings,
    Modality.VISUAL: VisualSettings,
}
"""The settings of each modality's first extractor."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_IS_A_KIND = re.compile(r"^SETTINGS = ", re.MULTILINE)


@cache
def kinds(modality: Modality) -> dict[str, type[Settings]]:
    """The settings class of every extractor of a modality, by kind.

    A file is read before it is imported: what is no extractor may import PyTorch.
    """
    package = f"bigfusion.extractors.{modality.value}"
    (folder,) = import_module(package).__path__
    files = sorted(path for path in Path(folder).glob("*.py") if _IS_A_KIND.search(path.read_text(encoding="utf-8")))
    return {path.stem: import_module(f"{package}.{path.stem}").SETTINGS for path in files}


def _any_extractor(modality: Modality) -> Any:
    """The settings of some extractor of a modality, told apart by ``kind``."""
    classes = kinds(modality)

    def kind(table: Any) -> Any:
        return table.get("kind") if isinstance(table, Mapping) else getattr(table, "kind", None)

    def is_table(value: Any) -> Any:
        if not isinstance(value, Mapping | Settings):
            raise PydanticCustomError("extra_forbidden", "expected the table of an extractor")
        return value

    return Annotated[
        reduce(or_, (Annotated[settings, Tag(name)] for name, settings in classes.items())),
        Discriminator(
            kind,
            custom_error_type="unknown_kind",
            custom_error_message=f"expected a kind among {', '.join(classes)}",
        ),
        BeforeValidator(is_table),
    ]


class _Table(Settings):
    """What the three tables share: keys that are tables hold further extractors."""

    modality: ClassVar[Modality]

    @model_validator(mode="before")
    @classmethod
    def _kinds_of_names(cls, table: Any) -> Any:
        """Give each named table its kind. The table with the first extractor's name is laid on the modality's own."""
        if isinstance(table, FIRST[cls.modality]) and not isinstance(table, cls):
            return table.model_dump(exclude_unset=True)
        if not isinstance(table, Mapping):
            return table
        first_name = FIRST_NAMES[cls.modality]
        first = table.get(first_name)
        if not isinstance(first, Mapping):
            return {name: cls._with_kind(name, value) for name, value in table.items()}
        others = {name: cls._with_kind(name, value) for name, value in table.items() if name != first_name}
        return others | dict(first)

    @classmethod
    def _with_kind(cls, name: str, value: Any) -> Any:
        if name in cls.model_fields or not isinstance(value, Mapping):
            return value
        if not _NAME.fullmatch(name):
            raise ValueError(f"expected names of letters, digits, - and _ for extractors, found {name!r}")
        return {"kind": name, **value}

    @property
    def named(self) -> dict[str, Settings]:
        """The settings of each named extractor, in the file's order."""
        return dict(self.model_extra or {})


_ANY = {modality: _any_extractor(modality) for modality in Modality}


class TextTable(_Table, TextSettings, extra="allow"):
    """``[text]``."""

    named_as = "TextSettings"
    modality = Modality.TEXT
    if not TYPE_CHECKING:
        __pydantic_extra__: dict[str, _ANY[Modality.TEXT]]


class AudioTable(_Table, AudioSettings, extra="allow"):
    """``[audio]``."""

    named_as = "AudioSettings"
    modality = Modality.AUDIO
    if not TYPE_CHECKING:
        __pydantic_extra__: dict[str, _ANY[Modality.AUDIO]]


class VisualTable(_Table, VisualSettings, extra="allow"):
    """``[visual]``."""

    named_as = "VisualSettings"
    modality = Modality.VISUAL
    if not TYPE_CHECKING:
        __pydantic_extra__: dict[str, _ANY[Modality.VISUAL]]
