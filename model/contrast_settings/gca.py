"""GCA's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class GCASettings(ContrastSettings):
    """Drop edges into nodes that are not central, and columns that central nodes do not use (Zhu et al. 2021)."""

    kind: Literal["gca"] = "gca"
    centrality: Literal["eigenvector", "speaker_pagerank"] = Field(
        default="eigenvector", description="of the graph, or PageRank over the edges between turns of one speaker"
    )
    edges: tuple[Share, Share] = Field(default=(0.3, 0.4), description="mean share of edges that are dropped, per view")
    columns: tuple[Share, Share] = Field(default=(0.1, 0.1), description="mean share of columns set to 0, per view")
    cap: Share = Field(default=0.7, description="largest probability of a drop")


SETTINGS = GCASettings
