"""Write a project's settings file: a preset's text with its comments, or the settings for an imported feature file."""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Collection
from pathlib import Path

from bigfusion.flows.project.learning_preset import for_corpus
from bigfusion.flows.project.load import placed, preset_file, preset_text, read_preset
from bigfusion.flows.project.preset_names import PRESETS
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.feature_files.corpus import FeatureSettings
from bigfusion.pipeline.schema import Modality

SKELETON = "utterances.csv"
"""The header of a table, in UTF-8 with the byte-order mark that Excel needs."""

_LEARNING_TABLES = re.compile(r"^\[(?:model|train)[.\]].*?(?=^\[(?!(?:model|train)[.\]])|\Z)", re.MULTILINE | re.DOTALL)


def write_config(path: Path, preset: str, root: str | None, learning: str | None = None) -> None:
    """Write a settings file with everything in ``preset`` and its comments. For a table, write its skeleton too.

    If ``learning`` is given, it sets the network and its training, except the numbers that the paper states for each
    corpus (window, rho, the trained width of audio). A relative ``root`` starts from the current folder and is written
    as an absolute path. For a table, ``root`` is the folder of the media.

    Raises:
        SettingsError: there is no such preset, or the file exists already.
    """
    if "corpus" not in read_preset(preset):
        raise SettingsError(f"preset {preset!r}: says nothing of a corpus; expected one of {', '.join(PRESETS)} here")
    text = (
        "# Settings of a bigfusion project. Folders are meant from this file's own; `bigfusion plan` checks them.\n"
        f'preset = "{learning or preset}"\n\n'
    ) + preset_text(preset)
    if learning is not None:
        text = _LEARNING_TABLES.sub("", text) + for_corpus(preset_text(learning), preset_text(preset))
    if root is not None:
        written = f"root = {_toml(_straight(placed(root, Path.cwd())))}"
        text = re.sub(r'^(media_)?root = "[^"]*"', lambda old: f"{old[1] or ''}{written}", text, flags=re.MULTILINE)
    _write_new(path, text)
    if preset == "table" and not (path.parent / SKELETON).exists():
        _write_new(path.parent / SKELETON, preset_file(SKELETON))


def _straight(path: str) -> str:
    """An absolute path without ``..``, unless a link makes that another folder. An address is left unchanged."""
    plain = os.path.normpath(path)
    return plain if Path(path).is_absolute() and os.path.realpath(plain) == os.path.realpath(path) else path


def write_import_config(
    path: Path, corpus: FeatureSettings, preset: str | None, modalities: Collection[Modality] = tuple(Modality)
) -> None:
    """Write the settings file of a project whose features come from a file, with the settings of its labels.

    ``modalities`` are those that a training can read. They are written if some are missing.

    Raises:
        SettingsError: there is no such preset, or the file exists already.
    """
    above = ""
    if preset is not None:
        read_preset(preset)
        above = f'preset = "{preset}"                # the model and training settings\n'
    said = corpus.model_dump(mode="json", exclude_defaults=True, exclude={"kind", "path"})
    lines = [f"{key} = {_value(value)}" for key, value in said.items()]
    model = [] if {*modalities} == {*Modality} else ["", "[model]", f"modalities = {_value(_names(modalities))}"]
    _write_new(
        path,
        "# Settings of a bigfusion project on features of your own.\n"
        + "\n".join([above, "[corpus]", 'kind = "features"', f"path = {_toml(str(corpus.path))}", *lines, *model, ""]),
    )


def _names(modalities: Collection[Modality]) -> list[str]:
    return [modality.value for modality in Modality if modality in modalities]


def _value(value: str | list[str] | dict[str, str]) -> str:
    """A corpus setting as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _toml(path: str) -> str:
    """A path as a TOML string. TOML knows JSON's escapes, but no halves of a character (surrogates)."""
    if not path.isprintable():
        raise SettingsError(f"{path!r}: expected a path of printable characters, found others; rename or link it")
    return json.dumps(path, ensure_ascii=False)


def _write_new(path: Path, text: str) -> None:
    if path.exists():
        raise SettingsError(f"{path}: exists already and is left as it is; edit it, or name another folder")
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}); name a folder that can") from error
