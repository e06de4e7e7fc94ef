"""What any contrast may say of its views, and what is made of it."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from bigfusion.model.contrast import base
from bigfusion.model.contrast.base import Contrast, View, Views
from bigfusion.model.contrast.losses import contrastive_loss
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.training.early_stopping import TrainingHistory
from bigfusion.model.training.optimise import Optimisation
from bigfusion.model.training.resume import restore_state, save_state
from tests.helpers.network_suite import CLASSES, WIDTHS, batch, dialogues, facts
from tests.helpers.small_runs import small_training

SMALL = BigFusionSettings.model_validate({"width": 8, "heads": 2, "dropout": 0.0})


class Learned(Contrast):
    """All edges weigh sigmoid(a), which an optimizer of its own moves to raise the loss; a token is in the main one."""

    def __init__(self, settings, model, relations):
        super().__init__(settings, model, relations)
        self.logit = torch.nn.Parameter(torch.zeros(()))
        self.token = torch.nn.Parameter(torch.zeros(model.width))
        self.steps = []

    def views(self, nodes, graph, host):
        weights = self.logit.sigmoid().detach().expand(graph.edge_index.shape[1])
        masked = torch.arange(len(nodes)) % 2 == 0
        first = torch.where(masked.unsqueeze(1), self.token, nodes)
        return Views(View(first), View(nodes, weights), penalty=self.token.square().sum())

    def optimizers(self):
        return {"augmenter": torch.optim.Adam([self.logit], lr=0.1)}

    def own_step(self, nodes, graph, host, optimizers):
        optimizers["augmenter"].zero_grad()
        weights = self.logit.sigmoid().expand(graph.edge_index.shape[1])
        (-host.compare(host.encoder(nodes, graph), host.encoder(nodes, graph, weights))).backward()
        optimizers["augmenter"].step()
        self.steps.append("own")

    def after_step(self, encoder):
        self.steps.append("after")


@pytest.fixture
def learned(monkeypatch):
    monkeypatch.setattr(base, "import_module", lambda name: type("module", (), {"CONTRAST": Learned}))
    torch.manual_seed(0)
    network = BigFusion(SMALL, WIDTHS, CLASSES)
    network.fit(dialogues())
    return network


def test_its_own_optimizer_steps_apart_and_goes_on_after_a_kill(learned, tmp_path):
    settings = small_training(batch_size=2, average=0.9)
    optimisation = Optimisation(learned, dialogues(), settings, 0)
    assert set(optimisation.optimizers) == {"training", "augmenter"}
    stepped = {id(weight) for weight in optimisation.parameters}
    assert id(learned.contrast.logit) not in stepped and id(learned.contrast.token) in stepped
    steps = optimisation.epoch(1)
    assert learned.contrast.steps == ["own", "after"] * 2
    assert set(steps.parts) == {"cross_entropy", "contrast", "penalty"}
    assert learned.contrast.logit != 0 and learned.contrast.token.abs().sum() > 0

    progress = TrainingHistory((), torch.empty(0, 0, dtype=torch.int16))
    save_state(tmp_path, "run", progress, optimisation.networks, optimisation.optimizers)
    expected = [optimisation.epoch(2), learned.contrast.logit.item()]
    torch.manual_seed(5)
    again = Optimisation(BigFusion(SMALL, WIDTHS, CLASSES), dialogues(), settings, 0)
    restore_state(tmp_path, "run", again.networks, again.optimizers)
    assert [again.epoch(2), again.network.contrast.logit.item()] == expected


def test_a_checkpoint_leaves_the_contrast_out(learned, tmp_path):
    checkpoint.save(tmp_path, learned, facts(learned, SMALL))
    assert not any(name.startswith("contrast.") for name in read_tensors(tmp_path / checkpoint.TENSORS)[0])
    loaded = checkpoint.load(tmp_path, torch.device("cpu")).network
    inputs = replace(batch(), features={name: rows.float() for name, rows in batch().features.items()})
    assert torch.equal(loaded(inputs).logits, learned.eval()(inputs).logits)


def test_several_positives_by_hand():
    """Three nodes in one row; node 0 has itself and node 1 as positives, the others themselves."""
    torch.manual_seed(0)
    first, second = torch.randn(1, 3, 4, dtype=torch.float64), torch.randn(1, 3, 4, dtype=torch.float64)
    mask, positives = torch.ones(1, 3, dtype=torch.bool), torch.eye(3, dtype=torch.bool).unsqueeze(0).clone()
    torch.testing.assert_close(
        contrastive_loss(first, second, mask, 0.5, positives), contrastive_loss(first, second, mask, 0.5)
    )
    positives[0, 0, 1] = True
    total = 0.0
    units = [normalize(rows[0], dim=-1) for rows in (first, second)]
    for one, other in (units, units[::-1]):
        for node in range(3):
            chosen = [0, 1] if node == 0 else [node]
            inter = [(one[node] @ other[j] / 0.5).exp() for j in range(3)]
            intra = [(one[node] @ (other if j == node else one)[j] / 0.5).exp() for j in range(3)]
            for terms in (inter, intra):
                total = total - (sum(terms[j] for j in chosen) / sum(terms)).log()
    torch.testing.assert_close(contrastive_loss(first, second, mask, 0.5, positives), total / 12)


def test_only_anchors_are_contrasted():
    torch.manual_seed(0)
    inputs = batch((5, 3))
    first, second = torch.randn(8, 4, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
    compare = base.Comparison(SMALL.contrast, inputs.labels[inputs.mask], inputs.mask, lambda rows: rows)
    anchors = torch.tensor([True, False, True, True, False, True, False, True])
    fewer = torch.tensor([[True] * 3, [True, True, False]])
    kept = [torch.zeros(2, 3, 4, dtype=torch.float64) for _ in range(2)]
    for rows, packed in zip(kept, (first, second), strict=True):
        rows[fewer] = packed[anchors]
    expected = contrastive_loss(*kept, fewer, SMALL.contrast.temperature)
    torch.testing.assert_close(compare(first, second, anchors), expected)


def two_dialogues():
    """Of five and three nodes: features, their (1, 8, 8) positives by hand, and the same in rows (2, 5, 5)."""
    torch.manual_seed(0)
    inputs = batch((5, 3))
    first, second = torch.randn(8, 4, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
    positives = torch.zeros(2, 5, 5, dtype=torch.bool)
    positives[0], positives[1, :3, :3] = torch.eye(5, dtype=torch.bool), torch.eye(3, dtype=torch.bool)
    positives[0, 1, 4] = positives[1, 2, 0] = True
    among_all = torch.eye(8, dtype=torch.bool).unsqueeze(0).clone()
    among_all[0, 1, 4] = among_all[0, 7, 5] = True
    return inputs, first, second, positives, among_all


def test_positives_of_a_dialogue_among_the_rows_of_a_batch():
    inputs, first, second, positives, among_all = two_dialogues()
    settings = SMALL.contrast.model_copy(update={"negatives": "batch"})
    compare = base.Comparison(settings, inputs.labels[inputs.mask], inputs.mask, lambda rows: rows)
    one_row = torch.ones(1, 8, dtype=torch.bool)
    expected = contrastive_loss(first.unsqueeze(0), second.unsqueeze(0), one_row, 1.0, among_all)
    torch.testing.assert_close(compare(first, second, None, positives), expected)


def test_positives_of_a_dialogue_among_the_rows_of_two_processes():
    """The first process has five nodes, the second three; what it sent is played back in the order of sending."""
    inputs, first, second, positives, among_all = two_dialogues()
    settings = SMALL.contrast.model_copy(update={"negatives": "batch"})
    labels, sent = inputs.labels[inputs.mask], []
    longest = torch.tensor([5])

    def send(rows):
        sent.append(rows)
        return longest if rows.shape == (1,) else rows

    short = base.Comparison(settings, labels[5:], inputs.mask[1:, :3], send)
    short(first[5:], second[5:], None, positives[1:, :3, :3])
    mine = base.Comparison(settings, labels[:5], inputs.mask[:1], lambda rows: torch.cat([rows, sent.pop(0)]))
    found = mine(first[:5], second[:5], None, positives[:1])
    one_row = torch.ones(1, 8, dtype=torch.bool)
    expected = contrastive_loss(first.unsqueeze(0), second.unsqueeze(0), one_row, 1.0, among_all)
    torch.testing.assert_close(found, expected)
