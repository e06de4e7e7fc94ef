"""The floor among the networks: fused utterances, bidirectional GRU layers over the dialogue, a linear classifier.

No graph, no speakers, no attention: what a network adds to this is what its context model is worth. The dialogues are
packed, so that the backward direction starts at the last real utterance.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.fusion import Fusion
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.networks.base import Network, Output


class BiGRU(Network):
    """The network. Output: ``representations`` after ``fusion`` and of the ``context`` (B, N, D)."""

    regresses = True

    def __init__(self, settings: BiGRUSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        width, dropout = settings.width, settings.dropout
        self.feature_dropout = nn.Dropout(settings.feature_dropout)
        self.fusion = Fusion(self.widths, width, settings.audio_width)
        self.dropout = nn.Dropout(dropout)
        between = dropout if settings.layers > 1 else 0.0  # of one layer torch warns that it goes unused
        self.gru = nn.GRU(
            width, width // 2, num_layers=settings.layers, batch_first=True, bidirectional=True, dropout=between
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        features = {name: self.feature_dropout(rows) for name, rows in utterances.features.items()}
        fused = utterances.rows(self.fusion(features, utterances.present))  # (B, N, D)
        packed = pack_padded_sequence(
            self.dropout(fused), utterances.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        context, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=batch.mask.shape[1])
        logits = utterances.rows(self.classifier(utterances.packed(context)))  # (B, N, C)
        return Output(logits, representations={"fusion": fused, "context": context})


NETWORK = BiGRU
