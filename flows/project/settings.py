"""A project's settings: every setting of every stage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from bigfusion.extractors.speech.settings import SpeechSettings
from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
from bigfusion.flows.project.extractor_tables import AudioTable, TextTable, VisualTable
from bigfusion.flows.project.preset_names import LEARNING, PRESETS
from bigfusion.flows.project.workspace import Workspace, WorkspaceSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.settings import ModelSettings, TrainSettings
from bigfusion.pipeline.corpora.scan import CorpusSettings, MeldSettings
from bigfusion.pipeline.corpora.table import TableSettings
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.store.folder import Place

_MACHINE = {"batch_size", "device", "seconds_budget", "threads", "timeout_seconds", "token_budget"}
"""Settings of extractors that say how a machine computes. They change no number."""


class ExtractSettings(Settings):
    """How extraction is divided into tasks. No setting here changes a number."""

    chunk_size: int = Field(default=64, ge=1, le=4096, description="cells a task; one chunk is one shard a feature")
    retries: int = Field(default=3, ge=0, description="of a chunk, after an error that may pass (disk, memory)")


class Learning(Settings):
    """Only the settings of the network and of its training."""

    model: ModelSettings = BigFusionSettings()
    train: TrainSettings = TrainSettings()


class RunnerSettings(Settings):
    """Which processes and machines compute. No setting here changes a number."""

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

    preset: str | None = Field(default=None, description="shipped settings below these; any of `bigfusion init --help`")
    corpus: CorpusSettings
    workspace: WorkspaceSettings = WorkspaceSettings()
    text: TextTable = TextTable()
    audio: AudioTable = AudioTable()
    visual: VisualTable = VisualTable()
    finetune: FinetuneSettings = FinetuneSettings()
    extract: ExtractSettings = ExtractSettings()
    model: ModelSettings = BigFusionSettings()
    train: TrainSettings = TrainSettings()
    promote: PromoteSettings = PromoteSettings()
    runner: RunnerSettings = RunnerSettings()
    predict: SpeechSettings = SpeechSettings()

    @field_validator("preset")
    @classmethod
    def _preset(cls, value: str | None) -> str | None:
        if value is not None and value not in (*PRESETS, *LEARNING):
            raise ValueError(f"expected one of {', '.join((*PRESETS, *LEARNING))}")
        return value

    @property
    def is_demo(self) -> bool:
        """Whether the corpus is the one that `bigfusion demo` makes."""
        from bigfusion.pipeline.demo.stamp import STAMP

        return isinstance(self.corpus, MeldSettings) and (self.corpus.root / STAMP).exists()

    @property
    def name(self) -> str:
        """The name of deployments and artifacts: the project folder's name, in characters that Prefect accepts."""
        folder = self.work.parent if self.work.name == "work" else self.work
        return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "bigfusion"

    def decisive(self) -> dict[str, Any]:
        """The settings that a model's numbers depend on, as plain values, and what is left to the corpus.

        A pretrained model counts by its name: the same one elsewhere is another here, as its files are not looked at.
        """
        tables: dict[str, TextTable | AudioTable | VisualTable] = {
            "text": self.text,
            "audio": self.audio,
            "visual": self.visual,
        }
        extractors = {
            f"{modality}.{name}": extractor.model_dump(mode="json", include={*type(extractor).model_fields} - _MACHINE)
            for modality, table in tables.items()
            for name, extractor in {"": table, **table.named}.items()
        }
        return extractors | {
            "model": self.model.numbers(),
            "train": self.train.numbers(),
            "corpus": self.corpus.model_dump(mode="json"),
            "left": sorted(self.model.left_to_corpus),
        }

    def parameters(self) -> dict[str, Any]:
        """Every setting as plain values, for a flow run in another process, where they mean the same.

        A column of a table that the user named must be there; a column that has its name by default need not. So the
        names that nobody gave stay out, as does what the corpus decides of the network.
        """
        settings = self.model_dump(mode="json", exclude={"model": set(self.model.left_to_corpus)})
        if isinstance(self.corpus, TableSettings):
            settings["corpus"]["columns"] = self.corpus.columns.model_dump(mode="json", exclude_unset=True)
        return settings

    @property
    def files(self) -> Workspace:
        """The workspace, which knows where the files lie. Equal settings give the same object."""
        return Workspace.of(self.workspace)

    @property
    def work(self) -> Path:
        """The workspace folder."""
        return self.files.folder

    @property
    def store(self) -> Place:
        """The path of the shard folder, or the address of a bucket."""
        return self.files.store_folder
