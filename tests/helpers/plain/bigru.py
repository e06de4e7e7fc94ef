"""biGRU: torch's GRU over one dialogue."""

from __future__ import annotations

import torch

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.bigru import BiGRU
from tests.helpers.plain.dialogue import projected, read, rows


def plain(network: BiGRU, batch: Batch) -> Output:
    """Fuse, read, classify."""
    modalities = projected(network.fusion, read(network, batch))
    fused = network.dropout(network.fusion.join(torch.cat(list(modalities.values()), dim=1)))
    context, _ = network.gru(fused)
    return Output(rows(network.classifier(context)))
