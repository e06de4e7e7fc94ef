"""Features relative to the speaker's mean in the dialogue, for instance: this voice is louder than usual.

This reads neither labels nor other dialogues, so that it works for a speaker whom training never met.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRIOR = 1.0
"""Weight, in utterances, of the assumption that a speaker varies as the corpus does (deviation 1)."""


def speaker_groups(dialogue: Tensor, speaker: Tensor) -> Tensor:
    """A number for each speaker of each dialogue. Shapes: (V,) int, (V,) int -> (V,) int."""
    return dialogue * (int(speaker.max()) + 1 if len(speaker) else 1) + speaker


def relative_to_speaker(values: Tensor, present: Tensor, group: Tensor) -> Tensor:
    """Standardised values minus their group's mean, divided by its deviation. An absent row is zeros.

    The deviation is shrunk towards 1, the corpus's deviation, with the weight of ``PRIOR`` utterances. So the values of
    a speaker with one utterance are zeros, and those of a speaker with two are not extreme.

    Shapes: ``values`` (V, F), ``present`` (V,) bool, ``group`` (V,) int -> (V, F).
    """
    groups = int(group.max()) + 1 if len(group) else 0
    here = present.unsqueeze(1)
    heard = here.to(values.dtype)
    count = values.new_zeros(groups, 1).index_add_(0, group, heard)
    total = values.new_zeros(groups, values.shape[1]).index_add_(0, group, torch.where(here, values, 0))
    centred = torch.where(here, values - (total / count.clamp(min=1))[group], 0)
    squares = values.new_zeros(groups, values.shape[1]).index_add_(0, group, centred.square())
    deviation = ((squares + PRIOR) / (count + PRIOR)).sqrt()
    return centred / deviation[group]


def group_mean(values: Tensor, group: Tensor, groups: int | None = None) -> Tensor:
    """The mean of each group's rows; zeros for an empty one. Shapes: (V, F), (V,) int -> (groups, F)."""
    if groups is None:
        groups = int(group.max()) + 1 if len(group) else 0
    count = torch.bincount(group, minlength=groups).clamp(min=1).unsqueeze(1)
    return values.new_zeros(groups, values.shape[1]).index_add(0, group, values) / count


def less_speaker_mean(values: Tensor, group: Tensor) -> Tensor:
    """Each row minus its group's mean. Shapes: (V, D), (V,) int -> (V, D)."""
    return values - group_mean(values, group)[group]
