"""Fusion of the modalities: each is mapped linearly to D, and all together linearly to D (MODEL: inputs)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bigfusion.pipeline.schema import Modality


class Projections(nn.Module):
    """A linear map to D for each modality. A learned vector replaces a modality that is absent.

    ``widths`` maps each modality in use to its stored width F_m. ``audio_width`` is the paper's trained reduction of
    the acoustic features by a fully connected layer (1,582 for IEMOCAP, 300 for MELD); it is left out if the stored
    width is no larger. The row of an absent modality has no effect.

    Shapes: ``features[m]`` (..., F_m), ``present[m]`` (...) bool -> (..., D) for each modality.
    """

    def __init__(self, widths: Mapping[str, int], width: int, audio_width: int | None = None) -> None:
        super().__init__()
        widths = dict(widths)
        self.reduction: nn.Linear | None = None
        audio = widths.get(Modality.AUDIO, 0)
        if audio_width is not None and audio > audio_width:
            self.reduction = nn.Linear(audio, audio_width)
            widths[Modality.AUDIO] = audio_width
        self.projections = nn.ModuleDict({name: nn.Linear(stored, width) for name, stored in widths.items()})
        self.absent = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in widths})

    def project(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Project each modality. Modalities that this network does not use are ignored."""
        return {name: self._project(name, features[name], present[name]) for name in self.projections}

    def _project(self, name: str, features: Tensor, present: Tensor) -> Tensor:
        here = present.unsqueeze(-1)  # (..., 1)
        features = torch.where(here, features, 0)  # an absent row may hold anything: NaN would poison the gradient
        if name == Modality.AUDIO and self.reduction is not None:
            features = self.reduction(features)
        return torch.where(here, self.projections[name](features), self.absent[name])  # (..., D)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same as :meth:`project`."""
        return self.project(features, present)


class Fusion(Projections):
    """One vector for each utterance: its modalities' projections are concatenated and mapped linearly to D.

    Shapes: ``features[m]`` (..., F_m), ``present[m]`` (...) bool -> (..., D).
    """

    def __init__(self, widths: Mapping[str, int], width: int, audio_width: int | None = None) -> None:
        super().__init__(widths, width, audio_width)
        self.join = nn.Linear(len(widths) * width, width)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        """Fuse."""
        joined: Tensor = self.join(torch.cat(list(self.project(features, present).values()), dim=-1))
        return joined
