"""A control: supervised contrast (Khosla et al. 2020) on the views of ``edge_drop``.

It differs from ``edge_drop`` in its positives alone, which the settings fix to ``"label"``. Every other contrast takes
the same positives by ``model.contrast.positives = "label"``.
"""

from __future__ import annotations

from bigfusion.model.contrast.edge_drop import EdgeDrop


class Supervised(EdgeDrop):
    """The views of ``edge_drop``."""


CONTRAST = Supervised
