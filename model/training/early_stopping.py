"""Early stopping: the epoch with the best validation WF1 is chosen, and patience decides when training ends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bigfusion.model.runs.folder import Epoch


@dataclass(frozen=True)
class TrainingHistory:
    """The epochs done so far, with the classes that each predicted for the test split (never their scores).

    Shape: ``test_classes`` (epochs, U) int16.
    """

    history: tuple[Epoch, ...]
    test_classes: Tensor

    @property
    def best(self) -> Epoch:
        """The epoch with the best validation WF1 (numbers: mean absolute error), the first on ties."""
        return max(self.history, key=lambda epoch: epoch.choice)

    def over(self, epochs: int, patience: int) -> bool:
        """Whether training ends: the last epoch is done, or ``patience`` epochs brought no better validation WF1."""
        done = len(self.history)
        return done >= epochs or (done > 0 and done - self.best.epoch >= patience)
