"""Features relative to a mean in the dialogue, the speaker's (this voice is louder than usual) or the dialogue's own.

This reads neither labels nor other dialogues, so that it works for a speaker and a room that training never met.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRIOR = 1.0
"""Weight, in utterances, of the assumption that a speaker varies as the corpus does (deviation 1)."""

RECORDING_PRIOR = 5.0
"""Weight, in utterances, of the assumption that a recording's mean is the corpus's (0).

On IEMOCAP's audio the variance within a dialogue is 1 to 14 times that between the dialogues' means, column by column
(median 7), and this ratio is the best weight.
"""


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


def less_recording_mean(values: Tensor, present: Tensor, dialogue: Tensor, dialogues: int) -> Tensor:
    """Standardised values less the mean over their dialogue, shrunk towards 0; absent rows are zeros.

    This takes the recording's level off (mean normalisation per recording). With the weight of ``RECORDING_PRIOR``
    utterances the mean is taken to be 0, the corpus's: of a dialogue of one utterance a sixth is taken off, of fifty
    utterances ten elevenths.

    Shapes: ``values`` (V, F), ``present`` (V,) bool, ``dialogue`` (V,) int below ``dialogues`` -> (V, F).
    """
    here = present.unsqueeze(1)
    values = values.where(here, 0)
    count = values.new_zeros(dialogues, 1).index_add_(0, dialogue, here.to(values.dtype))
    total = values.new_zeros(dialogues, values.shape[1]).index_add(0, dialogue, values)
    return (values - (total / (count + RECORDING_PRIOR))[dialogue]).where(here, 0)


def group_mean(values: Tensor, group: Tensor, groups: int | None = None) -> Tensor:
    """The mean of each group's rows; zeros for an empty one. Shapes: (V, F), (V,) int -> (groups, F)."""
    if groups is None:
        groups = int(group.max()) + 1 if len(group) else 0
    count = torch.bincount(group, minlength=groups).clamp(min=1).unsqueeze(1)
    return values.new_zeros(groups, values.shape[1]).index_add(0, group, values) / count


def less_speaker_mean(values: Tensor, group: Tensor) -> Tensor:
    """Each row minus its group's mean. Shapes: (V, D), (V,) int -> (V, D)."""
    return values - group_mean(values, group)[group]
