"""What the settings of every network share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field, field_validator

from bigfusion.pipeline.schema import FeatureName, Modality
from bigfusion.pipeline.settings import Settings

MOST_SPEAKERS = 9
"""As many speakers are told apart at most where the corpus decides: MELD's. Some networks have P * P relations."""


class NetworkSettings(Settings):
    """Base of a network's settings. A subclass sets ``kind`` to its file's name: ``kind: Literal["x"] = "x"``."""

    kind: str
    modalities: tuple[Modality, ...] = (Modality.TEXT, Modality.AUDIO, Modality.VISUAL)
    features: tuple[str, ...] | None = Field(
        default=None, description="those that are read, by the names of their tables; none: all of `modalities`"
    )
    centred: tuple[Modality, ...] = Field(
        default=(), description="those that are read less their mean over the dialogue, without the recording's level"
    )
    fusion: Literal["concatenate", "weights"] = Field(
        default="concatenate",
        description="of several features of a modality: side by side, or a sum of their projections by learned weights"
        " (classifiers that are fitted at once read them side by side)",
    )
    fusion_width: int = Field(default=128, ge=1, description="of that sum")

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError("modalities must name at least one of text, audio, visual, each once")
        return modalities

    @field_validator("centred")
    @classmethod
    def _centred_once(cls, centred: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if len(set(centred)) != len(centred):
            raise ValueError("centred must name each modality once")
        return centred

    @field_validator("features")
    @classmethod
    def _named_once(cls, features: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if features is not None and (not features or len(set(features)) != len(features)):
            raise ValueError("features must name at least one, each once")
        return features

    def chosen(self, stored: Iterable[str]) -> list[FeatureName]:
        """Which of the ``stored`` features the network reads: modality by modality, in the order of ``features``."""
        names = [FeatureName(name) for name in stored]
        if self.features is not None:
            names = [name for wanted in self.features for name in names if name.is_called(wanted)]
        return [name for modality in self.modalities for name in names if name.modality == modality]

    def modalities_of(self, stored: Iterable[str]) -> list[str]:
        """The modalities of these features, in the order of ``modalities``."""
        return list(dict.fromkeys(name.modality.value for name in self.chosen(stored)))

    def for_single_utterances(self) -> NetworkSettings:
        """The settings that are trained on a corpus whose dialogues all have one utterance."""
        return self

    def for_classes(self, labels: Sequence[str]) -> NetworkSettings:
        """The settings that are trained on a corpus with these classes."""
        del labels
        return self

    def for_speakers(self, most: int) -> NetworkSettings:
        """The settings that are trained on a corpus whose dialogues have up to ``most`` speakers.

        A network that numbers the speakers tells all of them apart, up to :data:`MOST_SPEAKERS`, unless somebody set
        ``speakers``. They are never fewer than the default.
        """
        by_number = getattr(self, "relations", "pairs") == "pairs"
        if not by_number or "speakers" not in self.left_to_corpus:
            return self
        default: int = type(self).model_fields["speakers"].default
        told = max(default, min(most, MOST_SPEAKERS))
        return self if told == default else self.model_copy(update={"speakers": told})

    @property
    def left_to_corpus(self) -> frozenset[str]:
        """The settings that the corpus may raise, for nobody has set them. Writing a value down would set it."""
        field = type(self).model_fields.get("speakers")
        left = field is not None and field.default < MOST_SPEAKERS and "speakers" not in self.model_fields_set
        return frozenset({"speakers"} if left else ())

    @property
    def fitted_at_once(self) -> bool:
        """Whether no gradient step trains it: there is one epoch, nothing is chosen, and every seed is the same fit."""
        return False

    @property
    def learns_from_validation(self) -> bool:
        """Whether what judges the test split learned from the validation utterances too."""
        return False

    def itself(self) -> NetworkSettings:
        """These settings, such that ``for_single_utterances`` changes nothing: for comparisons between networks."""
        return self

    def code_entries(self) -> Iterator[str]:
        """The code that the numbers depend on. Of the networks it is this one's file alone."""
        yield from super().code_entries()
        yield f"bigfusion.model.networks.{self.kind}:NETWORK"


SHARED = NetworkSettings
EACH_ITS_OWN = frozenset({"centred"})
"""Settings that every network has and none takes over from another: a causal one refuses them."""
