"""JOYFUL (Li et al., EMNLP 2023): fusion by two autoencoders, COGMEN's context and graph, a contrast of graph views.

Fusion, utterance by utterance, x being the features side by side:

- global: z_g = ReLU(W2 tanh(W1 x)), decoded to x;
- local: A_m = Linear(features of m); A^_m,i = sum_j softmax_j(b_i A_m,j) A_m,j, b a learnt basis that all modalities
  share; z_l codes [A^_m] likewise, decoded to it;
- the utterance is [z_g; z_l]; L_mf = MSE(decoded x, x) + MSE(decoded [A^], [A^]).

Context and graph: as COGMEN's, with a ``TransformerConv`` of several heads side by side. Logits = Linear(drop ReLU(
Linear(LeakyReLU(BatchNorm(y))))).

Contrast, in training: two views of the nodes go through the same relational convolution. View 1: masked numbers and
edges aimed anew; view 2: masked numbers and edges added between utterances whose Katz score is high. L_ct is the mean
of the inter-view and the intra-view loss (``contrast.losses``); negatives are the dialogue's nodes.
Loss = CE + alpha L_mf + beta L_ct.

Paper and code differ a lot. The modules' form and size are the code's, the views, loss and weights the paper's;
``form = "released"`` sets each of two views, masked and perturbed, against the original, all other nodes of both graphs
being negatives at once, with the code's numbers. Departures from the released code, and why:

- An edge that is aimed anew comes from another utterance of the dialogue and has the relation of its new ends; there it
  goes to another, across dialogues, with the old relation, and into the list that original and both views share: the
  views differ in masks only.
- The reconstruction is a mean over all real utterances; there the last dialogue of a batch alone is taught. The vector
  of an absent modality is decoded as a constant by the global one; but both read it, and so teach it as well.
- Padding is not attended to; windows are the receiver's; widths are the data's; all utterances are fused at once (the
  alignment is attention with one channel).
- Negatives stay in the dialogue (the paper's graph); there they are the batch's, so that batches decide the loss.
- A node is no negative of itself; there it is one, by a slip of the library.
- The rate does not fall at a standstill: the trainer has no such schedule.
- In the intra-view loss the anchor's own place holds its positive, the paper's text leaving it open.
- The Katz score's attenuation is not stated: here 0.9 over the dialogue's largest degree, scores relative to the
  dialogue's largest between two utterances (reconstructed).
- Speakers are numbered by their first turn in the dialogue.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize, scaled_dot_product_attention
from torch_geometric.nn import BatchNorm, TransformerConv

from bigfusion.model.contrast.losses import TINY, contrastive_loss
from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.context import ContextEncoder, dividing_heads
from bigfusion.model.layers.fusion import Joined
from bigfusion.model.layers.graph import Relations
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.layers.window import edges, heard
from bigfusion.model.network_settings.joyful import JOYFULSettings
from bigfusion.model.networks.base import Network, Output, Part


class Autoencoder(nn.Module):
    """Codes and decodes. Shapes: (V, F) -> code (V, K), decoded (V, F)."""

    def __init__(self, width: int, inner: int, code: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, code), nn.ReLU())
        self.decode = nn.Sequential(nn.Linear(code, inner), nn.Tanh(), nn.Linear(inner, width))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The code, and what it decodes to."""
        code = self.encode(inputs)
        return code, self.decode(code)


def align(values: Tensor, basis: Tensor) -> Tensor:
    """Coordinate i is the mean of all coordinates j, weighted by softmax_j(b_i A_j). Shapes: (V, L), (L,) -> (V, L)."""
    column = values[:, None, :, None]  # (V, 1, L, 1): one channel
    query = basis.to(values.dtype)[:, None].expand(column.shape)
    aligned: Tensor = scaled_dot_product_attention(query, column, column, scale=1.0)[:, 0, :, 0]
    return aligned


class DoubleFusion(nn.Module):
    """The global and the local autoencoder. Output: [z_g; z_l] (V, 2 K), and L_mf of each utterance (V,)."""

    def __init__(self, settings: JOYFULSettings, widths: Mapping[str, int]) -> None:
        super().__init__()
        inner, code, local = settings.inner_fusion, settings.fused, settings.local_width
        self.join = Joined(widths)
        self.widths = list(widths.values())
        self.whole = Autoencoder(self.join.width, inner, code)
        self.maps = nn.ModuleList(nn.Linear(width, local) for width in self.widths)
        self.basis = nn.Parameter(torch.randn(local))
        self.local = Autoencoder(len(self.widths) * local, inner, code)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Fuse."""
        joined = self.join(features, present)  # (V, F)
        split = joined.split(self.widths, dim=1)
        aligned = torch.cat(
            [align(project(rows), self.basis) for project, rows in zip(self.maps, split, strict=True)], dim=1
        )
        code, decoded = self.whole(joined)
        local_code, local_decoded = self.local(aligned)
        loss = mse_loss(decoded, joined.detach().to(decoded.dtype), reduction="none").mean(1)
        loss = loss + mse_loss(local_decoded, aligned, reduction="none").mean(1)
        return torch.cat([code, local_code], dim=1), loss


def aimed_anew(linked: Tensor, sizes: Tensor, dialogue: Tensor, share: float) -> Tensor:
    """A share of the edges comes from a random utterance of the same dialogue. Shapes: (2, E), (B,), (V,) -> (2, E)."""
    if not share:
        return linked
    source, target = linked
    row = dialogue[target]
    first = (sizes.cumsum(0) - sizes)[row]
    drawn = first + (torch.rand(source.shape, device=source.device) * sizes[row]).long()
    moved = torch.rand(source.shape, device=source.device) < share
    return torch.stack([torch.where(moved, drawn, source), target])


def proximate(hears: Tensor, threshold: float) -> Tensor:
    """Pairs whose Katz score passes ``threshold`` of their dialogue's largest. Shapes: (B, N, N) -> (B, N, N) bool.

    The Katz score sums beta^k times the number of paths of length k; beta is 0.9 over the largest degree.
    """
    length = hears.shape[1]
    same = torch.eye(length, dtype=torch.bool, device=hears.device)
    adjacency = (hears & ~same).double()
    degree = adjacency.sum(2).amax(1).clamp(min=1)[:, None, None]
    identity = torch.eye(length, dtype=torch.double, device=hears.device)
    katz = torch.linalg.inv(identity - 0.9 / degree * adjacency).masked_fill(same, 0)
    real = hears.diagonal(dim1=1, dim2=2)
    near: Tensor = katz > threshold * katz.amax((1, 2), keepdim=True)
    return near & real.unsqueeze(1) & real.unsqueeze(2)


def info_nce(first: Tensor, second: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The released contrast: each node against itself in the other graph and all other nodes of both; both ways.

    Shapes: (B, N, D) twice, (B, N) bool -> scalar, a mean over the real nodes.
    """
    first, second = normalize(first, dim=-1, eps=TINY), normalize(second, dim=-1, eps=TINY)
    between = first @ second.mT / temperature  # (B, N, N)
    total = torch.zeros_like(between[..., 0])
    same = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    for across, own in ((between, first), (between.mT, second)):
        lowest = torch.finfo(across.dtype).min
        within = (own @ own.mT / temperature).masked_fill(same, lowest)
        against = torch.cat([across, within], dim=2).masked_fill(~mask.repeat(1, 2).unsqueeze(1), lowest)
        total = total + against.logsumexp(2) - across.diagonal(dim1=1, dim2=2)
    mean: Tensor = torch.where(mask, total, 0).sum() / (2 * mask.sum().clamp(min=1))
    return mean


class JOYFUL(Network):
    """The network. Output: ``parts``: ``reconstruction`` (V,), in training ``contrast``, a scalar."""

    batch_norm = True

    def __init__(self, settings: JOYFULSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        self.numbered_speakers = settings.relations == "pairs"
        width, fused = settings.width, 2 * settings.fused
        self.fusion = DoubleFusion(settings, self.widths)
        self.context = ContextEncoder(
            fused,
            heads=settings.heads or dividing_heads(fused),
            layers=settings.layers,
            inner=settings.inner,
            dropout=settings.dropout,
        )
        self.reduce = nn.Linear(fused, width)
        self.relations = Relations(settings.relations, settings.speakers)
        self.convolution = RelationalConvolution(width, self.relations.count)
        self.attention = TransformerConv(width, width, heads=settings.graph_heads)
        self.norm = BatchNorm(settings.graph_heads * width, allow_single_element=True)
        self.classifier = nn.Sequential(
            nn.LeakyReLU(),
            nn.Linear(settings.graph_heads * width, width),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, classes),
        )

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        rows = utterances.rows
        fused, reconstruction = self.fusion(utterances.features, utterances.present)
        nodes = self.reduce(self.context(fused, batch.mask))  # (V, D)
        hears = heard(batch.mask, self.settings.past, self.settings.future)
        linked = edges(hears, batch.mask)
        convolved = self._convolve(nodes, linked, utterances.speaker)
        graph = self.norm(self.attention(convolved, linked))  # (V, heads D)
        parts = {"reconstruction": reconstruction}
        if self.training:
            original = rows(convolved)
            one, other = (rows(view) for view in self._views(nodes, hears, batch))
            parts["contrast"] = self._contrast(original, one, other, batch.mask)
        return Output(
            rows(self.classifier(graph)), parts, representations={"fusion": rows(fused), "context": rows(nodes)}
        )

    def _convolve(self, nodes: Tensor, linked: Tensor, speaker: Tensor) -> Tensor:
        source, target = linked
        relation = self.relations.of(speaker[source], speaker[target], later=source >= target)
        convolved: Tensor = self.convolution(nodes, linked, relation)
        return convolved

    def _views(self, nodes: Tensor, hears: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Both views' nodes, convolved. Shapes: (V, D), (B, N, N) -> (V, D) twice."""
        settings, mask = self.settings, batch.mask
        sizes, dialogue = mask.sum(1), mask.nonzero()[:, 0]
        linked = edges(hears, mask)
        first = aimed_anew(linked, sizes, dialogue, settings.perturb)
        if settings.form == "released":
            second = aimed_anew(linked, sizes, dialogue, settings.perturb)
        else:
            second = edges(hears | proximate(hears, settings.proximity), mask)
        speaker = batch.speakers[mask]
        return self._convolve(self._masked(nodes), first, speaker), self._convolve(self._masked(nodes), second, speaker)

    def _masked(self, nodes: Tensor) -> Tensor:
        """Some numbers set to 0, the others left as they are."""
        share = self.settings.mask
        return nodes * (torch.rand_like(nodes) >= share) if share else nodes

    def _contrast(self, original: Tensor, one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        temperature = self.settings.temperature
        if self.settings.form == "released":
            return info_nce(original, one, mask, temperature) + info_nce(original, other, mask, temperature)
        return contrastive_loss(one, other, mask, temperature)

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Cross-entropy, reconstruction and contrast."""
        parts, settings = super().loss(output, batch, smoothing), self.settings
        parts["reconstruction"] = Part(output.parts["reconstruction"].mean(), "nodes", settings.reconstruction_weight)
        if "contrast" in output.parts:
            parts["contrast"] = Part(output.parts["contrast"], "nodes", settings.contrast_weight)
        return parts


NETWORK = JOYFUL
