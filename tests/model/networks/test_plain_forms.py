"""Every network says what its equations say of each dialogue alone, in plain loops over the same parameters.

The plain forms are ``tests/helpers/plain``. Batches hold unequal dialogues whose modalities are absent here and there.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Batch, Dialogue, collate
from bigfusion.model.kinds import settings_classes
from bigfusion.model.networks.base import Network, build
from bigfusion.model.settings import NETWORKS, network_settings
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, seed_torch, summed
from tests.helpers.network_suite import dialogues as small_dialogues
from tests.helpers.plain.dialogue import plain
from tests.helpers.slow_forms import double

LENGTHS = (6, 1, 19)  # windows are read in blocks of 16

MM_DFN = {"width": 8, "graph_width": 6, "layers": 3, "visual_speaker": 0.5}
DIALOGUE_RNN = {"global_width": 6, "party_width": 5, "emotion_width": 4, "hidden_width": 4, "state_dropout": 0.0}
GA2MIF = {"width": 8, "heads": 2, "rounds": 2, "graph_heads": 2, "layers": 2, "past": 2, "future": 3}
JOYFUL = {
    "inner_fusion": 10,
    "fused": 7,
    "local_width": 6,
    "width": 8,
    "inner": 10,
    "layers": 2,
    "graph_heads": 2,
    "past": 2,
    "future": 1,
    "mask": 0.0,
    "perturb": 0.0,
}
ADAIGN = {"width": 8, "graph_width": 6, "layers": 3, "speaker_width": 3, "gumbel": False}
BIGFUSION = {"width": 16, "heads": 2, "graph": {"window": 3}, "attention": {"window": 3}}

SMALL: dict[str, list[dict[str, Any]]] = {
    "bigru": [{"width": 8}, {"width": 8, "layers": 1}],
    "logistic": [{}],
    "mm_dfn": [MM_DFN, MM_DFN | {"gate": False}],
    "mmgcn": [{"width": 8, "graph_width": 6, "layers": 3, "speakers": 2}],
    "dag_erc": [{"width": 6, "layers": 2}, {"width": 6, "layers": 1, "reach": 2}],
    "dialogue_rnn": [
        DIALOGUE_RNN,
        DIALOGUE_RNN | {"listener": True},
        DIALOGUE_RNN | {"bidirectional": False, "attention": False},
    ],
    "cogmen": [
        {"width": 8, "inner": 10, "past": 3, "future": 1},
        {"width": 8, "inner": 10, "relations": "order", "past": 2, "future": 1},
    ],
    "ga2mif": [GA2MIF, GA2MIF | {"form": "released"}],
    "graphsmile": [
        {"width": 8, "layers": 3, "window": 2, "block": 4, "sentiments": (0, 1, 2)},
        {"width": 8, "layers": 2, "window": 2, "block": 4, "sentiments": (0, 1, 2), "edge_weights": "ones"},
    ],
    "joyful": [JOYFUL, JOYFUL | {"relations": "order"}],
    "adaign": [ADAIGN, ADAIGN | {"party": True}],
    "scmm": [{"width": 8, "heads": 2, "feed_forward": 12, "speakers": 2}],
    "cmcf_srnet": [{"width": 8, "heads": 2, "window": 2, "graph_window": 3, "embedding_weight": 0.3}],
    "sdt": [{"width": 8, "heads": 2}, {"width": 8, "heads": 2, "gate": "identity", "embedding_weight": 0.3}],
    "amb_dsgdn": [{"width": 8, "heads": 2, "window": 3, "embedding_weight": 0.3}],
    "mvn": [{"width": 6, "window": 3}],
    "bigfusion": [
        BIGFUSION,
        BIGFUSION | {"attention": {"window": 3, "alpha": 0.0}, "spiking": {"enabled": False}},
        BIGFUSION | {"graph": {"window": 2, "layers": 2}},
        BIGFUSION | {"graph": {"window": 3, "neighbourhood": {"enabled": True, "bands": [[1, 1], [2, 4]]}}},
        BIGFUSION | {"retrieval": {"enabled": True}},
    ],
}
FORMS = [(kind, changes) for kind, several in SMALL.items() for changes in several]

each_network = pytest.mark.parametrize(
    ("kind", "changes"), FORMS, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(FORMS)]
)


def dialogues() -> list[Dialogue]:
    return small_dialogues(LENGTHS)


def batch(some: list[Dialogue]) -> Batch:
    return double(collate(some))


def network(kind: str, changes: dict[str, Any]) -> Network:
    dropout = {} if kind == "logistic" else {"dropout": 0.0}
    seed_torch(0)
    found = build(network_settings({"kind": kind} | dropout | changes), WIDTHS, CLASSES).double()
    found.fit(dialogues())
    for name, parameter in found.named_parameters():
        if parameter.dim() < 2 or "absent" in name:  # many start at 0 or 1, and a slip in them would not show
            nn.init.normal_(parameter, std=0.5)
    for module in found.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean)
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # some are not the setting's: DialogueRNN's on emotions, AMB-DSGDN's in its blocks
    return found


def gradients(some: Network, values: Tensor) -> dict[str, Tensor]:
    some.zero_grad()
    if values.requires_grad:
        values.backward()
    weights = dict(some.named_parameters())
    return {name: torch.zeros_like(own) if own.grad is None else own.grad for name, own in weights.items()}


def test_every_network_but_the_discriminant_analysis_has_a_plain_form():
    assert set(settings_classes(NETWORKS)) - set(SMALL) == {"discriminant"}


@each_network
def test_logits_and_gradients_of_a_batch_are_those_of_each_dialogue_alone_in_plain_loops(kind, changes):
    some, every = network(kind, changes).eval(), dialogues()
    assert all(any(not one.present[name].all() for one in every) for name in WIDTHS)
    logits = some(batch(every)).logits
    in_loops = [plain(kind, some, batch([one])).logits[0] for one in every]
    for row, expected in enumerate(in_loops):
        torch.testing.assert_close(logits[row, : len(expected)], expected, **CLOSE)

    weights = torch.randn(len(every), max(LENGTHS), CLASSES, dtype=torch.double)
    found = gradients(some, (logits * weights).sum())
    sums = [(alone * weights[row, : len(alone)]).sum() for row, alone in enumerate(in_loops)]
    for name, gradient in gradients(some, torch.stack(sums).sum()).items():
        torch.testing.assert_close(found[name], gradient, msg=name, **CLOSE)


@each_network
def test_a_training_steps_loss_and_gradients_are_those_of_the_plain_form(kind, changes):
    some = network(kind, changes).train()
    some.begin_epoch(1, 10)
    for module in some.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    found = []
    for form in (some, lambda given: plain(kind, some, given)):
        losses = []
        for inputs in (batch([one]) for one in dialogues()[1:]):
            seed_torch(7)  # the noise of importance
            losses.append(summed(some.loss(form(inputs), inputs)))
        values = torch.stack(losses)
        found.append((values.detach(), gradients(some, values.sum())))
    (values, slopes), (expected, expected_slopes) = found
    torch.testing.assert_close(values, expected, **CLOSE)
    for name, slope in expected_slopes.items():
        torch.testing.assert_close(slopes[name], slope, msg=name, **CLOSE)
