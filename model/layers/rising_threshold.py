"""spikingjelly's neuron with the paper's leak and its rising threshold (Eqs. 7, 8)."""

from __future__ import annotations

from spikingjelly.activation_based import surrogate
from spikingjelly.activation_based.neuron import SimpleBaseNode
from torch import Tensor


class RisingThresholdNode(SimpleBaseNode):
    """H(t) = decay V(t-1) + X(t), fires at V_th(t) = threshold (1 + rise t), hard reset to 0; arctan surrogate.

    The library's LIFNode leaks by tau, and its threshold is constant. Here the memory ``t`` counts the steps, and
    ``functional.reset_net`` resets it together with the potential. Shapes: (T, ...) -> spikes (T, ...).
    """

    v: Tensor
    t: int

    def __init__(self, decay: float, threshold: float, rise: float, surrogate_alpha: float) -> None:
        super().__init__(threshold, 0.0, surrogate.ATan(surrogate_alpha), step_mode="m")
        self.decay = decay
        self.rise = rise
        self.register_memory("t", 0)

    def neuronal_charge(self, x: Tensor) -> None:
        """Let the potential leak, and add the current of this step."""
        self.v = self.decay * self.v + x

    def neuronal_fire(self) -> Tensor:
        """The spikes of this step, 0 or 1."""
        threshold = self.v_threshold * (1 + self.rise * self.t)
        self.t = self.t + 1
        spikes: Tensor = self.surrogate_function(self.v - threshold)
        return spikes
