"""What any contrast must pass. A contrast's test file names its settings::

    class TestGCA(ContrastSuite):
        settings = GCASettings()
        nothing = GCASettings(edges=(0, 0), columns=(0, 0))

and adds, beside the class, tests of what only this contrast does. Everything here runs in float64 unless it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from bigfusion.model.contrast.base import Comparison, Contrast, Host, View, Views, build
from bigfusion.model.contrast.draws import edge_dialogue
from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.layers.graph import Graph, Relations, build_graph
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.training.early_stopping import TrainingHistory
from bigfusion.model.training.optimise import Optimisation
from bigfusion.model.training.resume import restore_state, save_state
from tests.helpers.network_suite import CLASSES, WIDTHS, batch, dialogues, facts
from tests.helpers.slow_forms import rows
from tests.helpers.small_runs import small_training

WIDTH = 8
LENGTHS = (9, 1, 2, 14)
RELATIONS = Relations()


def graph_of_lengths(lengths: Sequence[int] = LENGTHS, window: int = 3, speakers: int = 2, seed: int = 0) -> Graph:
    torch.manual_seed(seed)
    mask, speaker = rows(list(lengths), speakers)
    return build_graph(mask, speaker, window, RELATIONS)


def dialogue_of(graph: Graph, row: int) -> tuple[Graph, Tensor]:
    """One dialogue of a batch's graph as a batch of one, and its nodes (V,) bool."""
    own = graph.dialogue == row
    mask = torch.ones(1, int(own.sum()), dtype=torch.bool)
    return build_graph(mask, graph.speaker[own].unsqueeze(0), graph.window, graph.relations), own


def inputs_of(graph: Graph, width: int = WIDTH, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(len(graph.dialogue), width, dtype=torch.float64)


def host_of(graph: Graph, settings: ContrastSettings, width: int = WIDTH, seed: int = 2) -> Host:
    torch.manual_seed(seed)
    encoder = RelationalEncoder(width, graph.relations.count, layers=1).double()
    mask = torch.arange(int(graph.sizes.max())) < graph.sizes.unsqueeze(1)
    labels = torch.randint(0, 3, graph.dialogue.shape)
    return Host(encoder, Comparison(settings, labels, mask, lambda rows: rows))


def built(settings: ContrastSettings, seed: int = 3, **model: object) -> Contrast:
    torch.manual_seed(seed)
    network = BigFusionSettings.model_validate({"width": WIDTH, "heads": 2} | model)
    return build(settings, network, RELATIONS).double()


def encoded(view: View, graph: Graph, host: Host) -> Tensor:
    found: Tensor = (view.encode or host.encoder)(view.nodes, graph, view.weights)
    return found


def loss_of(views: Views, graph: Graph, host: Host) -> Tensor:
    anchors = views.first.anchors
    assert isinstance(host.compare, Comparison)
    loss = host.compare(encoded(views.first, graph, host), encoded(views.second, graph, host), anchors, views.positives)
    return loss if views.penalty is None else loss + views.penalty


def same(one: View, other: View) -> bool:
    pairs = [(one.nodes, other.nodes), (one.weights, other.weights), (one.anchors, other.anchors)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


class ContrastSuite:
    settings: ContrastSettings
    nothing: ContrastSettings | None = None
    """Settings with which both views are the graph itself; None: this contrast has none."""
    random: ClassVar[bool] = True
    """Whether two calls make different views."""

    def network(self, **training: object) -> BigFusion:
        settings = BigFusionSettings(width=WIDTH, heads=2, dropout=0.2, contrast=self.settings)
        torch.manual_seed(0)
        network = BigFusion(settings, WIDTHS, CLASSES)
        network.fit(dialogues())
        return network

    def test_one_seed_makes_the_same_views(self) -> None:
        graph, contrast = graph_of_lengths(), built(self.settings)
        nodes, host = inputs_of(graph), host_of(graph, self.settings)
        found = []
        for seed in (5, 5, 6):
            torch.manual_seed(seed)
            found.append(contrast.views(nodes, graph, host))
        assert same(found[0].first, found[1].first) and same(found[0].second, found[1].second)
        different = not (same(found[0].first, found[2].first) and same(found[0].second, found[2].second))
        assert different == self.random

    def test_no_input_is_changed(self) -> None:
        graph, contrast = graph_of_lengths(), built(self.settings)
        nodes, host = inputs_of(graph), host_of(graph, self.settings)
        kept = nodes.clone(), graph.edge_index.clone(), graph.relation.clone(), graph.sizes.clone()
        weights = [weight.clone() for weight in host.encoder.parameters()]
        contrast.own_step(nodes, graph, host, contrast.optimizers())
        contrast.views(nodes, graph, host)
        contrast.after_step(host.encoder)
        for before, after in zip(kept, (nodes, graph.edge_index, graph.relation, graph.sizes), strict=True):
            assert torch.equal(before, after)
        for before, weight in zip(weights, host.encoder.parameters(), strict=True):
            assert torch.equal(before, weight) and weight.grad is None

    def test_a_view_has_a_row_for_every_node_and_a_weight_for_every_edge(self) -> None:
        graph, contrast = graph_of_lengths(), built(self.settings)
        views = contrast.views(inputs_of(graph), graph, host_of(graph, self.settings))
        for view in (views.first, views.second):
            assert view.nodes.shape == (len(graph.dialogue), WIDTH) and view.nodes.dtype == torch.float64
            if view.weights is not None:
                assert view.weights.shape == graph.relation.shape and view.weights.dtype == torch.float64
                assert ((view.weights >= 0) & (view.weights <= 1)).all()
            if view.anchors is not None:
                assert view.anchors.shape == graph.dialogue.shape and view.anchors.dtype == torch.bool

    @pytest.mark.parametrize("lengths", [(1,), (2,), (1, 2), (1, 1, 1), (2, 30)])
    def test_short_dialogues_have_a_finite_loss_and_gradient(self, lengths: tuple[int, ...]) -> None:
        graph, contrast = graph_of_lengths(lengths, window=6), built(self.settings)
        nodes, host = inputs_of(graph).requires_grad_(), host_of(graph, self.settings)
        contrast.own_step(nodes.detach(), graph, host, contrast.optimizers())
        for _ in range(5):
            loss = loss_of(contrast.views(nodes, graph, host), graph, host)
            assert loss.isfinite()
            loss.backward()  # type: ignore[no-untyped-call]
            for weight in [nodes, *host.encoder.parameters(), *contrast.parameters()]:
                assert weight.grad is None or weight.grad.isfinite().all()

    def test_no_gradient_is_nan_where_the_encoder_is_silent(self) -> None:
        graph, contrast = graph_of_lengths(), built(self.settings)
        nodes, host = torch.zeros(len(graph.dialogue), WIDTH, dtype=torch.float64), host_of(graph, self.settings)
        torch.nn.init.constant_(host.encoder.convolutions[0].bias, -1.0)
        nodes.requires_grad_()
        contrast.own_step(nodes.detach(), graph, host, contrast.optimizers())
        loss = loss_of(contrast.views(nodes, graph, host), graph, host)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.isfinite()
        for weight in [nodes, *host.encoder.parameters(), *contrast.parameters()]:
            assert weight.grad is None or weight.grad.isfinite().all()

    def test_nothing_to_do_gives_back_the_original_bit_for_bit(self) -> None:
        if self.nothing is None:
            pytest.skip("this contrast has no strength to set to 0")
        graph, contrast = graph_of_lengths(), built(self.nothing)
        nodes, host = inputs_of(graph), host_of(graph, self.nothing)
        views = contrast.views(nodes, graph, host)
        for view in (views.first, views.second):
            assert torch.equal(encoded(view, graph, host), host.encoder(nodes, graph))

    def test_noise_is_float32_under_autocast(self) -> None:
        graph, contrast = graph_of_lengths((40, 3)), built(self.settings).float()
        host = host_of(graph, self.settings)
        host.encoder.float()
        drawn: list[torch.dtype] = []
        rand = torch.rand

        def watched(*shape: int, **options: torch.dtype) -> Tensor:
            noise = rand(*shape, **options)  # type: ignore[call-overload]
            drawn.append(noise.dtype)
            return noise

        with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", dtype=torch.bfloat16):
            patch.setattr(torch, "rand", watched)
            for nodes in (inputs_of(graph).float(), inputs_of(graph).bfloat16()):
                loss = loss_of(contrast.views(nodes, graph, host), graph, host)
                assert loss.isfinite()
        assert set(drawn) <= {torch.float32, torch.float64}

    @pytest.mark.parametrize(("pair", "negatives"), [("views", "dialogue"), ("original", "batch")])
    def test_a_network_trains_with_it(self, pair: str, negatives: str) -> None:
        changes = {"pair": pair, "negatives": negatives, "classify": 0.5}
        settings = type(self.settings).model_validate(self.settings.model_dump() | changes)
        torch.manual_seed(0)
        network = BigFusion(BigFusionSettings(width=WIDTH, heads=2, contrast=settings), WIDTHS, CLASSES)
        network.fit(dialogues())
        steps = Optimisation(network, dialogues(), small_training(batch_size=2), 0).epoch(1)
        assert steps.loss == pytest.approx(steps.loss) and "contrast" in steps.parts

    def test_padding_changes_no_loss(self) -> None:
        network = self.network().double().train()
        losses = []
        for inputs in (batch(), batch(pad_to=25)):
            network.dropout.p = 0.0
            for module in network.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            torch.manual_seed(4)
            output = network(inputs)
            losses.append([part.value.item() for part in network.loss(output, inputs).values()])
        assert losses[1] == pytest.approx(losses[0], abs=1e-9)

    def test_a_training_that_was_killed_goes_on_bit_for_bit(self, tmp_path: Path) -> None:
        settings = small_training(batch_size=2, average=0.9)
        optimisation = Optimisation(self.network(), dialogues(), settings, 0)
        optimisation.epoch(1)
        progress = TrainingHistory((), torch.empty(0, 0, dtype=torch.int16))
        save_state(tmp_path, "run", progress, optimisation.networks, optimisation.optimizers)
        expected = optimisation.epoch(2)
        torch.manual_seed(5)
        network = BigFusion(self.network().settings, WIDTHS, CLASSES)
        again = Optimisation(network, dialogues(), settings, 0)
        restore_state(tmp_path, "run", again.networks, again.optimizers)
        assert again.epoch(2) == expected
        for part, other in optimisation.networks.items():
            found = again.networks[part].state_dict()
            for name, value in other.state_dict().items():
                assert torch.equal(found[name], value), (part, name)

    def test_a_checkpoint_leaves_it_out(self, tmp_path: Path) -> None:
        network = self.network()
        checkpoint.save(tmp_path, network, facts(network, network.settings))
        assert not any(name.startswith("contrast.") for name in read_tensors(tmp_path / checkpoint.TENSORS)[0])
        inputs = batch()
        inputs = replace(inputs, features={name: value.float() for name, value in inputs.features.items()})
        loaded = checkpoint.load(tmp_path, torch.device("cpu")).network
        assert torch.equal(loaded(inputs).logits, network.eval()(inputs).logits)


def edges_of(graph: Graph, row: int) -> Tensor:
    """The edges of one dialogue. Shape: (E,) bool."""
    return edge_dialogue(graph) == row
