"""A project: every setting of every stage, from one TOML file on top of a shipped preset."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from bigfusion.extractors.audio.opensmile import AudioSettings
from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
from bigfusion.extractors.visual.speaker_face import VisualSettings
from bigfusion.flows.project.learning_preset import for_corpus
from bigfusion.flows.project.preset_names import LEARNING, PRESETS
from bigfusion.model.settings import ModelSettings, TrainSettings
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.corpora.scan import CorpusSettings, MeldSettings
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.settings import Settings, assign, merge, parse_assignment, read_toml, validate
from bigfusion.pipeline.store import bucket
from bigfusion.pipeline.store.folder import Place

log = logging.getLogger("bigfusion")

DEFAULT_CONFIG = Path("bigfusion.toml")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/|s3:", re.IGNORECASE)
_LEARNING_TABLES = re.compile(r"^\[(?:model|train)[.\]].*?(?=^\[(?!(?:model|train)[.\]])|\Z)", re.MULTILINE | re.DOTALL)
_FOLDERS = {
    "corpus": ("root", "path", "media_root"),
    "workspace": ("path", "store", "cache"),
    "visual": ("detector_path", "weights"),
}


class WorkspaceSettings(Settings):
    """Where a project keeps what it makes."""

    path: Path = Field(default=Path("work"), description="manifest, runs, logs, the store unless `store` names one")
    store: str | None = Field(
        default=None, description="shard folder, or s3://bucket/prefix; may be shared between machines"
    )
    store_cache_gib: float = Field(default=20, ge=0, description="of a bucket's shards that this machine keeps")
    cache: Path | None = Field(
        default=None, description="this machine's own folder for index and digests, where the workspace is shared"
    )
    url: str | None = Field(default=None, description="where a web server shows the workspace; links in Prefect's UI")

    @field_validator("store", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(bucket.SCHEME):
            bucket.address(value)
        elif isinstance(value, str | Path) and _ADDRESS.match(str(value)):
            raise ValueError("expected a folder or s3://bucket/prefix")
        return str(value) if isinstance(value, Path) else value


class ExtractSettings(Settings):
    """How extraction is cut up. Nothing here changes a number."""

    chunk_size: int = Field(default=64, ge=1, le=4096, description="utterances a task; one chunk is one shard")
    retries: int = Field(default=3, ge=0, description="of a chunk, after an error that may pass (disk, memory)")


class Learning(Settings):
    """The settings of the network and its training alone."""

    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()


class RunnerSettings(Settings):
    """Who computes. Nothing here changes a number."""

    kind: Literal["local", "workers", "ray"] = Field(
        default="local", description="this process; workers of the pools `cpu` and `gpu`; a Ray cluster"
    )
    deployment: str = Field(default="", description="the name that `bigfusion deploy` gave the deployments")
    partitions: int = Field(default=4, ge=1, description="parts of a modality that workers take side by side")
    attempts: int = Field(default=3, ge=1, description="workers that may die over one partition")
    dead_after_seconds: float = Field(
        default=90, ge=45, description="silence after which a worker counts as dead; heartbeats come every 30 s"
    )
    chunk_seconds: float = Field(default=7200, gt=0, description="a chunk that takes longer is stopped and retried")
    seed_seconds: float | None = Field(default=None, gt=0, description="the same for the training of one seed")
    ray_address: str | None = Field(default=None, description="ray://HOST:10001; none: a local one")


class PromoteSettings(Settings):
    """When a newly trained model becomes the current one."""

    margin: float = Field(
        default=0.01, ge=0, description="largest fall of validation WF1 that is accepted; 0.01 is one point"
    )


class Project(Settings):
    """All settings of one project."""

    preset: Literal["meld", "iemocap", "demo", "tuned", "paper"] | None = None
    corpus: CorpusSettings
    workspace: WorkspaceSettings = WorkspaceSettings()
    text: TextSettings = TextSettings()
    audio: AudioSettings = AudioSettings()
    visual: VisualSettings = VisualSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    extract: ExtractSettings = ExtractSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    promote: PromoteSettings = PromoteSettings()
    runner: RunnerSettings = RunnerSettings()

    @property
    def is_demo(self) -> bool:
        """Whether the corpus is the one that `bigfusion demo` makes."""
        from bigfusion.pipeline.demo.build import STAMP

        return isinstance(self.corpus, MeldSettings) and (self.corpus.root / STAMP).exists()

    @property
    def name(self) -> str:
        """What deployments and artifacts are called: the project folder's name, in letters that Prefect takes."""
        folder = self.work.parent if self.work.name == "work" else self.work
        return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "bigfusion"

    @property
    def work(self) -> Path:
        """The workspace folder."""
        return self.workspace.path

    @property
    def store(self) -> Place:
        """The shard folder's path, or a bucket's address."""
        place = self.workspace.store
        if place is not None and place.startswith(bucket.SCHEME):
            return place
        return self.work / "store" if place is None else Path(place)


def load(config: Path | str | None = None, preset: str | None = None, assignments: Sequence[str] = ()) -> Project:
    """The project of a settings file, on top of a preset, under ``--set`` assignments.

    Relative folders are meant from the settings file's own folder. Without ``config`` the file is ``bigfusion.toml``,
    and may be absent where ``preset`` is given.

    Raises:
        SettingsError: a file is missing or not TOML, a key is unknown, a value does not fit, or the file is one on
            another preset that would hide what ``preset`` says.
    """
    path = settings_file(config, preset)
    if config is None and path != DEFAULT_CONFIG:
        log.info("no %s here: the demo's settings (%s) are used", DEFAULT_CONFIG, path)
    own = {} if config is None and preset and not path.exists() else read_toml(path)
    preset = _preset(preset, own, path)
    table = merge(_below(read_preset(preset), own), own) if preset else own
    if any(parse_assignment(one)[0] == ["preset"] for one in assignments):
        raise SettingsError("--set preset: a preset lies below the settings file, not above it; name it with --preset")
    table = assign(table, assignments)
    if preset:
        table["preset"] = preset
    if "corpus" not in table:
        raise SettingsError(
            f"{path}: expected a [corpus] table or a preset, found neither; see `bigfusion init --help`"
        )
    return validate(Project, _resolved(table, path.resolve().parent), str(path))


def load_learning(config: Path | None, preset: str | None, assignments: Sequence[str] = ()) -> Learning:
    """The network and its training as a preset (without one: ``tuned``), a settings file and ``--set`` have them.

    Raises:
        SettingsError: as :func:`load`; an assignment to anything but the network and its training.
    """
    own = {} if config is None else read_toml(config)
    table = merge(read_preset(_preset(preset, own, config) or LEARNING[0]), own)
    table = assign({name: part for name, part in table.items() if name in Learning.model_fields}, assignments)
    return validate(Learning, table, str(config or "settings"))


def _preset(given: str | None, own: Mapping[str, Any], path: Path | None) -> str | None:
    """The given preset, else the file's own. A file on another preset, as `init` writes it, must hide nothing of it."""
    named = own.get("preset")
    if given is None or named in (None, given):
        return given or named
    hidden = [key for key in _differing(read_preset(given), own) if not key.startswith(("corpus.", "workspace."))]
    if hidden:
        written = f"{named} --learning {given}" if given in LEARNING else given
        raise SettingsError(
            f"{path}: names preset {named}, and its own {', '.join(hidden[:3])} lie above --preset {given}: name"
            f" {given} in the file and remove them, or write another: `bigfusion init DIR --preset {written}`"
        )
    return given


def _differing(below: Mapping[str, Any], above: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys that both tables have, with other values."""
    for key in [key for key in below if key in above]:
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            yield from _differing(below[key], above[key], f"{prefix}{key}.")
        elif below[key] != above[key]:
            yield f"{prefix}{key}"


def settings_file(config: Path | str | None, preset: str | None) -> Path:
    """The file that :func:`load` reads: ``config``, else ``bigfusion.toml`` here, which may be absent.

    Where there is none here, the demo's, so that commands typed after the demo find it.
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
        raise SettingsError(f"preset {name!r}: expected one of {', '.join((*PRESETS, *LEARNING))}")
    with resources.as_file(resources.files("bigfusion.flows.project") / "presets" / f"{name}.toml") as path:
        return read_toml(path)


def preset_text(name: str) -> str:
    """A shipped preset's TOML with its comments."""
    return (resources.files("bigfusion.flows.project") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def write_config(path: Path, preset: str, root: str | None, learning: str | None = None) -> None:
    """Write a settings file that says everything that ``preset`` says, with its comments.

    The network and its training are those of ``learning``, where it is given, but for what the paper states corpus by
    corpus (window, rho, the trained width of audio). A relative ``root`` is meant from the current folder, where it was
    typed, and is written in full.

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
        written = f"root = {_toml(_placed(root, Path.cwd()))}"
        text = re.sub(r'^root = "[^"]*"', lambda _: written, text, flags=re.MULTILINE)
    _write_new(path, text)


def write_import_config(path: Path, features: Path, preset: str | None) -> None:
    """Write the settings file of a project whose features come from a file.

    Raises:
        SettingsError: there is no such preset, or the file exists already.
    """
    above = ""
    if preset is not None:
        read_preset(preset)
        above = f'preset = "{preset}"                # the model and training settings\n'
    _write_new(
        path,
        "# Settings of a bigfusion project on features of your own.\n"
        f'{above}\n[corpus]\nkind = "features"\npath = {_toml(str(features))}\n',
    )


def _toml(path: str) -> str:
    """A path as a TOML string, which knows JSON's escapes but no halves of a character."""
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


def _below(preset: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The preset without its corpus, where the project has a corpus of another kind."""
    kind = own.get("corpus", {}).get("kind") if isinstance(own.get("corpus"), Mapping) else None
    return {name: part for name, part in preset.items() if name != "corpus" or kind in (None, part["kind"])}


def _resolved(table: dict[str, Any], base: Path) -> dict[str, Any]:
    """``table`` with its relative folders made absolute; a text model is a folder only where one exists."""
    found = {name: dict(part) if isinstance(part, dict) else part for name, part in table.items()}
    found.setdefault("workspace", {}).setdefault("path", WorkspaceSettings().path)
    for section, keys in _FOLDERS.items():
        for key in keys:
            part = found.get(section)
            if not isinstance(part, dict) or not isinstance(part.get(key), str | Path):
                continue
            if part[key]:
                part[key] = _placed(part[key], base)
    text = found.get("text")
    if isinstance(text, dict) and isinstance(text.get("model"), str):
        folder = base / _expanded(text["model"])
        text["model"] = str(folder) if folder.is_dir() else text["model"]
    return found


def _placed(path: str | Path, base: Path) -> str:
    """A path as it is meant from the folder ``base``; an address as it is."""
    return str(path) if _ADDRESS.match(str(path)) else str(base / _expanded(path))


def _expanded(path: str | Path) -> Path:
    """``~`` stands for a home folder here as in a shell, which leaves it alone within quotes."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{path}: expected a user who has a home folder, found none; write the path out") from None
