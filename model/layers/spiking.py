"""Leaky integrate-and-fire neurons that code a current as a firing rate (Eqs. 7, 8)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class _Heaviside(torch.autograd.Function):
    """Theta(y) with Theta(0) = 1, whose gradient is that of arctan(y) / pi + 1/2.

    spikingjelly's surrogate takes the width alpha as an argument, on which ``torch.compile`` with dynamic shapes (2.13)
    fails. Here the caller multiplies the width into y.
    """

    @staticmethod
    def forward(distance: Tensor) -> Tensor:
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        distance: Tensor = ctx.saved_tensors[0]
        return gradient / (math.pi * (1 + distance * distance))


def lif_step(
    potential: Tensor, current: Tensor, decay: float, threshold: float, surrogate_alpha: float
) -> tuple[Tensor, Tensor]:
    """One step of Eq. 8: H(t) = beta U(t-1) (1 - S(t-1)) + X(t), S(t) = Theta(H(t) - V_th(t)).

    ``potential`` is U(t-1) (1 - S(t-1)): the potential after the last step's hard reset. The paper writes S(t-1) as
    Theta(U(t-1) - V_th(t-1)), which is the same. Theta(0) = 1; its gradient at x is that of the arctan surrogate,
    alpha / (2 (1 + (pi alpha x / 2)^2)).

    Returns:
        The spikes S(t), 0 or 1, and the potential after their reset, U(t) (1 - S(t)).
    """
    charged = decay * potential + current
    distance = math.pi / 2 * surrogate_alpha * (charged - threshold)
    spikes: Tensor = _Heaviside.apply(distance)  # type: ignore[no-untyped-call]
    return spikes, charged * (1 - spikes)


class RateCoding(nn.Module):
    """Firing rates of leaky integrate-and-fire neurons under a constant current (Eqs. 7, 8).

    Threshold regulation: V_th(t) = threshold (1 + rise t) for t = 0 .. steps - 1, so that weak currents stop to fire.
    ``rise`` = 0 switches it off. There are no parameters, and no state between calls.

    The neuron is spikingjelly's. Under ``torch.compile`` a loop of :func:`lif_step` replaces it, with the same spikes.

    Shapes: current (B, N, D) -> rates (B, N, D) in [0, 1], multiples of 1 / steps.
    """

    def __init__(
        self,
        steps: int,
        decay: float,
        threshold: float,
        rise: float,
        surrogate_alpha: float = 2.0,
    ) -> None:
        from bigfusion.model.layers.rising_threshold import RisingThresholdNode  # the import takes a second

        super().__init__()
        self.steps = steps
        self.decay = decay
        self.threshold = threshold
        self.rise = rise
        self.surrogate_alpha = surrogate_alpha
        self.node = RisingThresholdNode(decay, threshold, rise, surrogate_alpha)

    def forward(self, current: Tensor) -> Tensor:
        """Rates of ``current``."""
        if torch.compiler.is_compiling():
            return self.looped(current)
        from spikingjelly.activation_based import functional

        rates: Tensor = self.node(current.expand(self.steps, *current.shape)).mean(0)
        functional.reset_net(self.node)
        return rates

    def looped(self, current: Tensor) -> Tensor:
        """The same rates without the library, in a form that ``torch.compile`` can compile."""
        potential, spikes = torch.zeros_like(current), torch.zeros_like(current)
        for t in range(self.steps):
            threshold = self.threshold * (1 + self.rise * t)
            fired, potential = lif_step(potential, current, self.decay, threshold, self.surrogate_alpha)
            spikes = spikes + fired
        return spikes / self.steps
