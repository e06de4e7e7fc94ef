"""The contrast of two views of one dialogue, node by node (Eqs. 1-3)."""

from __future__ import annotations

from torch import Tensor, cat


def contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """L_cl of two graphs of n unit vectors each. Shapes: (n, D) twice -> scalar."""
    total = first.new_zeros(())
    for one, other in ((first, second), (second, first)):
        for place, node in enumerate(one):
            between = other @ node / temperature
            within = one @ node / temperature
            within = cat([within[:place], between[place : place + 1], within[place + 1 :]])
            total = total + between.logsumexp(0) + within.logsumexp(0) - 2 * between[place]
    return total / (4 * len(first))
