"""Read a project's settings: a shipped preset, one TOML file on top of it, and ``--set`` assignments on top of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bigfusion.flows.project.preset_names import LEARNING, PRESETS, SEARCHED
from bigfusion.flows.project.settings import Learning, Project
from bigfusion.flows.project.workspace import ADDRESS, WorkspaceSettings
from bigfusion.model.kinds import settings_classes
from bigfusion.model.settings import DEFAULT_NETWORK, NETWORKS, TrainSettings, beneath, tuned
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.settings import Settings, assign, dotted, merge, parse_assignment, read_toml, validate

log = logging.getLogger("bigfusion")

DEFAULT_CONFIG = Path("bigfusion.toml")
_FOLDERS = {
    "corpus": ("root", "path", "media_root", "media", "transcripts", "speakers"),
    "workspace": ("path", "store", "cache"),
    "visual": ("detector_path", "weights"),
}


def load_project(
    config: Path | str | None = None, preset: str | None = None, assignments: Sequence[str] = ()
) -> Project:
    """The project of a preset, a settings file on top of it, and ``--set`` assignments on top of both.

    Relative folders start from the folder of the settings file. Without ``config`` the file is ``bigfusion.toml``,
    which may be absent if ``preset`` is given.

    Raises:
        SettingsError: a file is missing or not TOML, a key is unknown, or a value does not fit. Or the file names
            another preset and would hide values of ``preset``.
    """
    path = settings_file(config, preset)
    if config is None and path != DEFAULT_CONFIG:
        log.info("no %s here: the demo's settings (%s) are used", DEFAULT_CONFIG, path)
    preset, below, own = layers(config, preset, assignments)
    plain = table = laid(below, own)
    if any(parse_assignment(one)[0] == ["preset"] for one in assignments):
        raise SettingsError("--set preset: a preset lies below the settings file, not above it; name it with --preset")
    table = laid(table, assign({}, assignments))
    if preset:
        table["preset"] = preset
    if "corpus" not in table:
        raise SettingsError(
            f"{path}: expected a [corpus] table or a preset, found neither; see `bigfusion init --help`"
        )
    folder = path.resolve().parent
    try:
        return validate(Project, _resolved(table, folder), str(path))
    except SettingsError:
        if assignments and _is_valid(Project, _resolved(plain, folder)):  # the file is not to blame
            validate(Project, _resolved(table, folder), "--set")
        raise


def _is_valid(kind: type[Settings], table: Mapping[str, Any]) -> bool:
    try:
        validate(kind, table, "")
    except SettingsError:
        return False
    return True


load = load_project  # the name inside the house; outside, ``bigfusion.load`` loads a trained model


def layers(
    config: Path | str | None, preset: str | None, assignments: Sequence[str] = ()
) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """The name of the preset, its table, and the settings file's table above it.

    The assignments lie above both; presets `tuned` and `best` have other numbers for the network that they name.

    Raises:
        SettingsError: as in :func:`load_project`.
    """
    path = settings_file(config, preset)
    own = {} if config is None and preset and not path.exists() else read_toml(path)
    preset = _preset(preset, own, path)
    return preset, _below(_for_network(preset, own, assignments), own) if preset else {}, own


def _for_network(
    preset: str, own: Mapping[str, Any], assignments: Sequence[str], corpus_of_file: Callable[[], str] = lambda: ""
) -> dict[str, Any]:
    """The preset's table. If it is `tuned` or `best`, for the network that the layers above it choose."""
    table = read_preset(preset)
    above = laid(own, assign({}, assignments))
    model, corpus = above.get("model"), above.get("corpus")
    kind = model.get("kind", DEFAULT_NETWORK) if isinstance(model, Mapping) else DEFAULT_NETWORK
    if preset not in SEARCHED or kind == DEFAULT_NETWORK or kind not in settings_classes(NETWORKS):
        return table
    numbers = tuned(kind, str(corpus.get("kind", "")) if isinstance(corpus, Mapping) else corpus_of_file())
    if numbers.source != "searched":
        whose = "released numbers" if numbers.source == "released" else "defaults"
        apart = [f"{name} {value:g}" for name, value in numbers.table.get("train", {}).items()]
        but = f" but for {' and '.join(apart)}" if apart else ""
        log.info(
            "preset %s: nobody has searched for %s yet: its %s are used, with the training settings that all networks "
            "share%s; `bigfusion tune --network %s` searches", preset, kind, whose, but, kind,
        )  # fmt: skip
    return laid(table, numbers.table)


def load_learning(
    config: Path | None, preset: str | None, assignments: Sequence[str] = (), corpus: Callable[[], str] = lambda: ""
) -> Learning:
    """Settings of the network and its training, from a preset (default ``tuned``), a settings file and ``--set``.

    ``corpus`` tells whose classes the features have (``iemocap``, ``meld`` or none), for numbers that depend on it.

    Raises:
        SettingsError: as in :func:`load_project`, or an assignment to anything except the network and its training.
    """
    own = {} if config is None else read_toml(config)
    table = laid(_for_network(_preset(preset, own, config) or LEARNING[0], own, assignments, corpus), own)
    table = {name: part for name, part in table.items() if name in Learning.model_fields}
    table = laid(table, assign({}, assignments))
    return validate(Learning, table, str(config or "settings"))


def origin(
    config: Path | None, preset: str | None, assignments: Sequence[str], project: bool
) -> tuple[str | None, dict[str, Any]]:
    """The name of the preset that the settings start from (none: the defaults), and what lies above it.

    That is the table of a settings file and ``--set``. With ``project`` the settings are those of :func:`load_project`,
    else of :func:`load_learning`.

    Raises:
        SettingsError: as in :func:`load_project`.
    """
    if project:
        found, _, own = layers(config, preset, assignments)
    else:
        own = {} if config is None else read_toml(config)
        found = _preset(preset, own, config) or LEARNING[0]
    return found, laid(own, assign({}, assignments))


def each_tuned(
    config: Path | None, preset: str | None, assignments: Sequence[str], project: bool
) -> tuple[dict[str, Any], str] | None:
    """What all networks have in common where the preset gives each its own numbers; none if it does not.

    It is the table above the presets (:func:`origin`), and the name of the corpus.

    Raises:
        SettingsError: as in :func:`load_project`.
    """
    found, above = origin(config, preset, assignments, project)
    if found not in SEARCHED:
        return None
    corpus = above.get("corpus") if project else None
    return above, str(corpus.get("kind", "")) if isinstance(corpus, Mapping) else ""


def own_settings(preset: str | None, above: Mapping[str, Any], shared: Collection[str] = ()) -> dict[str, Any]:
    """The settings of network and training that lie above a preset with other values than its own, by dotted key.

    Those of the tables in ``shared`` come whatever their value. Settings that change no number are left out.

    Raises:
        SettingsError: there is no preset of this name.
    """
    tables = {name: above[name] for name in Learning.model_fields if isinstance(above.get(name), Mapping)}
    network = tables.get("model", {}).get("kind", DEFAULT_NETWORK)
    below = Learning() if preset is None else load_learning(None, preset)
    known = dict(dotted(below.model_dump(mode="json"))) if network == DEFAULT_NETWORK else {}
    silent = {f"train.{name}" for name in TrainSettings.run_only} | {"model.single_utterances"}
    return {
        key: value
        for key, value in dotted(tables)
        if key not in silent and (key.partition(".")[0] in shared or key not in known or known[key] != value)
    }


def laid(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` merged on top of ``table``. If ``over`` names another network or contrast, its defaults apply."""
    below, above = table.get("model"), over.get("model")
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        table = {**table, "model": beneath(below, above)}
    return merge(table, over)


def _preset(given: str | None, own: Mapping[str, Any], path: Path | None) -> str | None:
    """The given preset, or else the file's. A file of another preset must not override values of the given one."""
    named = own.get("preset")
    if given is None or named in (None, given):
        return given or named
    hidden = [key for key in _differing(read_preset(given), own) if not key.startswith(("corpus.", "workspace."))]
    if hidden:
        written = f"{named} --learning {given}" if given in LEARNING else given
        raise SettingsError(
            f"{path}: names preset {named}, and its own {', '.join(hidden[:3])} lie above --preset {given}: name"
            f" {given} in the file and remove them, or write another: `bigfusion init my-{given} --preset {written}`"
        )
    return given


def _differing(below: Mapping[str, Any], above: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys that both tables have, with different values."""
    for key in [key for key in below if key in above]:
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            yield from _differing(below[key], above[key], f"{prefix}{key}.")
        elif below[key] != above[key]:
            yield f"{prefix}{key}"


def settings_file(config: Path | str | None, preset: str | None) -> Path:
    """The file that :func:`load_project` reads: ``config``, or else ``bigfusion.toml`` here, which may be absent.

    If there is none here, it is the demo's file, so that commands typed after the demo find it.
    """
    if config:
        return Path(config)
    demo = Path("demo") / DEFAULT_CONFIG
    return demo if preset in (None, "demo") and not DEFAULT_CONFIG.exists() and demo.exists() else DEFAULT_CONFIG


def read_preset(name: str) -> dict[str, Any]:
    """A shipped preset's table.

    Raises:
        SettingsError: there is no preset of this name.
    """
    if name not in (*PRESETS, *LEARNING):
        known = (*PRESETS, *LEARNING)
        raise SettingsError(f"preset {name!r}: expected one of {', '.join(known)}{did_you_mean(str(name), known)}")
    with resources.as_file(resources.files("bigfusion.flows.project") / "presets" / f"{name}.toml") as path:
        return read_toml(path)


def preset_text(name: str) -> str:
    """A shipped preset's TOML with its comments."""
    return preset_file(f"{name}.toml")


def preset_file(name: str) -> str:
    """The exact text of a file that is shipped beside the presets."""
    return (resources.files("bigfusion.flows.project") / "presets" / name).read_bytes().decode()


def _below(preset: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The preset, without its corpus table if the project's corpus is of another kind."""
    kind = own.get("corpus", {}).get("kind") if isinstance(own.get("corpus"), Mapping) else None
    return {name: part for name, part in preset.items() if name != "corpus" or kind in (None, part["kind"])}


def _resolved(table: dict[str, Any], base: Path) -> dict[str, Any]:
    """``table`` with absolute folders. A model counts as a folder only if that folder exists."""
    found = {name: dict(part) if isinstance(part, dict) else part for name, part in table.items()}
    workspace = found.setdefault("workspace", {})
    if isinstance(workspace, dict):  # any other type is refused later, like every setting of a wrong type
        workspace.setdefault("path", WorkspaceSettings().path)
    for section, keys in _FOLDERS.items():
        for key in keys:
            part = found.get(section)
            if not isinstance(part, dict):
                continue
            if isinstance(part.get(key), list):
                part[key] = [placed(path, base) if isinstance(path, str | Path) else path for path in part[key]]
            elif isinstance(part.get(key), str | Path) and part[key]:
                part[key] = placed(part[key], base)
    for modality in Modality:
        extractors = found.get(modality.value)
        if isinstance(extractors, dict):
            own = _placed_model(extractors, base)
            found[modality.value] = {name: _placed_model(part, base) for name, part in own.items()}
    return found


def _placed_model(table: Any, base: Path) -> Any:
    """An extractor's table with its model as an absolute folder, if that folder exists, and its weights' files."""
    if not isinstance(table, Mapping):
        return table
    placed_table = dict(table)
    for key in _FOLDERS["visual"]:
        if isinstance(table.get(key), str | Path) and table[key]:
            placed_table[key] = placed(table[key], base)
    if isinstance(table.get("model"), str):
        folder = base / _expanded(table["model"])
        placed_table["model"] = str(folder) if folder.is_dir() else table["model"]
    return placed_table


def placed(path: str | Path, base: Path) -> str:
    """A path made absolute from the folder ``base``. An address is left unchanged."""
    return str(path) if ADDRESS.match(str(path)) else str(base / _expanded(path))


def _expanded(path: str | Path) -> Path:
    """Replace ``~`` by the home folder, because a shell does not do so within quotes."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{path}: expected a user who has a home folder, found none; write the path out") from None
