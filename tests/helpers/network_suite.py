"""What any network must pass. A network's test file names its settings, small and without dropout::

    class TestBiGRU(NetworkSuite):
        settings = BiGRUSettings(width=8, dropout=0.0)
        random = {"dropout": 0.3}

and adds, beside the class, tests of what only this network does. Everything here runs in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue, collate
from bigfusion.model.layers.relative import RECORDING_PRIOR
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.networks.base import Network, Output, Part, build
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import CheckpointFacts, DataFacts
from bigfusion.model.settings import NETWORKS, TrainSettings
from bigfusion.model.spaces import Space
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.slow_forms import dialogue, double

WIDTHS = {"text": 7, "audio": 6, "visual": 5}
CLASSES = 3
LENGTHS = (6, 1, 9)
CLOSE: dict[str, Any] = {"atol": 1e-9, "rtol": 1e-8}


def seed_torch(seed: int) -> None:
    """``torch.manual_seed`` for the processor alone: for a CUDA that is not started it would format the whole stack."""
    torch.default_generator.manual_seed(seed)


def dialogues(lengths: Sequence[int] = LENGTHS) -> list[Dialogue]:
    return [dialogue(length, widths=WIDTHS, classes=CLASSES, speakers=3) for length in lengths]


def batch(lengths: Sequence[int] = LENGTHS, *, pad_to: int | None = None) -> Batch:
    return double(collate(dialogues(lengths), pad_to))


def summed(parts: dict[str, Part]) -> Tensor:
    return torch.stack([part.weight * part.value for part in parts.values()]).sum()


class NetworkSuite:
    settings: NetworkSettings
    """Small, and without anything random in training."""
    random: ClassVar[dict[str, Any]] = {}
    """Changes that make training random; none: nothing of this network is."""

    def network(self, seed: int = 0, **changes: Any) -> Network:
        settings = type(self.settings).model_validate(self.settings.model_dump(exclude_unset=True) | changes)
        seed_torch(seed)
        network = build(settings, WIDTHS, CLASSES).double()
        network.fit(dialogues())
        for name, parameter in network.named_parameters():
            if "absent" in name:  # they start at zero
                nn.init.normal_(parameter)
        return network

    @classmethod
    @cache
    def evaluated(cls) -> Network:
        """The network in evaluation, made once: for tests that neither change nor train it."""
        return cls().network().eval()

    def step(self, network: Network, inputs: Batch) -> tuple[dict[str, Part], Output]:
        """The loss of a training step, the random numbers being the same every time."""
        seed_torch(7)
        network.train()
        network.begin_epoch(1, 10)
        output = network(inputs)
        return network.loss(output, inputs), output

    def taught(self, network: Network, inputs: Batch) -> tuple[dict[str, Part], Output, dict[str, Tensor]]:
        """The loss, the output and the gradients of a training step."""
        network.zero_grad()
        parts, output = self.step(network, inputs)
        total = summed(parts)
        if total.requires_grad:
            total.backward()
        return parts, output, {name: _gradient(weight) for name, weight in network.named_parameters()}

    def test_a_row_of_logits_comes_out_for_every_utterance(self) -> None:
        inputs = batch(pad_to=12)
        for output in (self.step(self.network(), inputs)[1], self.evaluated()(inputs)):
            assert output.logits.shape == (3, 12, CLASSES) and output.logits.dtype == torch.float64
            assert output.logits.isfinite().all()
            for name, rows in output.representations.items():
                assert rows.shape[:2] == (3, 12) and not rows[~inputs.mask].any(), name
            for name, rates in output.rates.items():
                assert len(rates) == inputs.mask.sum() and not rates.requires_grad, name
                assert ((rates >= 0) & (rates <= 1)).all(), name

    def test_it_says_whether_vectors_stand_in_for_absent_modalities(self) -> None:
        network = self.evaluated()
        assert network.absent_vectors == any("absent" in name for name, _ in network.named_parameters())

    def test_it_says_whether_it_is_fitted_at_once(self) -> None:
        network = self.evaluated()
        assert self.settings.fitted_at_once is not any(True for _ in network.parameters())
        if self.settings.fitted_at_once:
            others = self.network(seed=1).state_dict()
            assert all(torch.equal(value, others[name]) for name, value in network.state_dict().items())

    def test_padding_changes_neither_logits_nor_losses_nor_gradients(self) -> None:
        network, real = self.network(), batch().mask
        short, long = (self.taught(network, inputs) for inputs in (batch(), batch(pad_to=25)))
        torch.testing.assert_close(long[1].logits[:, :9][real], short[1].logits[real], **CLOSE)
        assert long[0].keys() == short[0].keys()
        for name, part in short[0].items():
            torch.testing.assert_close(long[0][name].value, part.value, msg=name, **CLOSE)
        for name, gradient in short[2].items():
            torch.testing.assert_close(long[2][name], gradient, msg=name, **CLOSE)

    def test_a_dialogues_logits_depend_neither_on_its_batch_nor_on_its_place_in_it(self) -> None:
        network, some = self.evaluated(), dialogues()
        logits, turned = (network(double(collate(order))).logits for order in (some, some[::-1]))
        for row, one in enumerate(some):
            alone = network(double(collate([one]))).logits[0]
            torch.testing.assert_close(logits[row, : len(one)], alone, **CLOSE)
            torch.testing.assert_close(turned[-1 - row, : len(one)], alone, **CLOSE)

    def test_absent_rows_may_hold_anything(self) -> None:
        network, inputs = self.network(), batch()
        spoilt = replace(
            inputs,
            features={
                name: rows.masked_fill(~inputs.present[name].unsqueeze(-1), torch.nan)
                for name, rows in inputs.features.items()
            },
        )
        _, found, gradients = self.taught(network, spoilt)
        assert torch.equal(found.logits, self.step(network, inputs)[1].logits)
        for name, gradient in gradients.items():
            assert gradient.isfinite().all(), name

    def test_an_utterance_without_any_modality_is_classified(self) -> None:
        network, inputs = self.network(), batch()
        for present in inputs.present.values():
            present[:, 0] = False
        _, output, gradients = self.taught(network, inputs)
        assert output.logits.isfinite().all()
        assert network.eval()(inputs).logits.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients.values())

    @pytest.mark.parametrize("modality", ["text", "audio", "visual"])
    def test_one_modality_is_enough_and_the_others_are_not_looked_at(self, modality: str) -> None:
        network, inputs = self.network(modalities=[modality]).eval(), batch()
        kept = replace(
            inputs, features={modality: inputs.features[modality]}, present={modality: inputs.present[modality]}
        )
        assert torch.equal(network(inputs).logits, network(kept).logits)
        assert self.step(network, kept)[1].logits.isfinite().all()

    def test_a_modality_without_features_is_named(self) -> None:
        with pytest.raises(TrainingError, match=r"modality visual: .* found those of text, audio; .*model\.modalities"):
            build(self.settings, {"text": 3, "audio": 2}, CLASSES)

    def test_gradients_reach_every_parameter(self) -> None:
        network = self.network()
        for name, gradient in self.taught(network, batch((6, 1, 9, 12)))[2].items():
            assert gradient.isfinite().all() and gradient.abs().sum() > 0, name

    def test_dialogues_of_one_utterance_are_read(self) -> None:
        network, inputs = self.network(), batch((1, 1))
        parts, output, gradients = self.taught(network, inputs)
        assert output.logits.isfinite().all() and all(part.value.isfinite() for part in parts.values())
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        assert network.eval()(inputs).logits.isfinite().all()

    def test_labels_do_not_reach_the_logits(self) -> None:
        network, inputs = self.network(), batch()
        other = replace(inputs, labels=(inputs.labels + 1) % CLASSES)
        assert torch.equal(self.step(network, other)[1].logits, self.step(network, inputs)[1].logits)
        assert torch.equal(network.eval()(other).logits, network(inputs).logits)

    def test_utterances_without_a_label_are_not_taught(self) -> None:
        network, inputs = self.network(), batch()
        inputs.labels[2, 4:6] = UNLABELLED
        parts, output = self.step(network, inputs)
        unlabelled = replace(inputs, labels=torch.full_like(inputs.labels, UNLABELLED))
        nothing = network.loss(output, unlabelled)
        for name, part in parts.items():
            assert part.value.isfinite(), name
            if part.per == "labels":
                assert nothing[name].value == 0, name
        assert all(gradient.isfinite().all() for gradient in self.taught(network, unlabelled)[2].values())

    def test_each_part_is_the_mean_that_it_says(self) -> None:
        """Dialogues shared out among processes have the losses and gradients of the whole batch."""
        network, some = self.network(), dialogues((6, 4, 9, 2))
        some[0].labels[:3] = UNLABELLED
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train = lambda mode=True, own=module: own  # type: ignore[method-assign,misc,assignment]
                module.training = False
        whole = self.step(network, double(collate(some)))[0]
        halves = [some[:2], some[2:]]
        found = [self.step(network, double(collate(half)))[0] for half in halves]
        for name, part in whole.items():
            if part.per == "batch":
                continue
            shares = [_size(half, part.per) / _size(some, part.per) for half in halves]
            total = sum(share * parts[name].value for share, parts in zip(shares, found, strict=True))
            torch.testing.assert_close(total, part.value, msg=f"{name} is no mean per {part.per}", **CLOSE)

    def test_one_seed_makes_one_network_and_one_step(self) -> None:
        one, two = self.network(seed=3, **self.random), self.network(seed=3, **self.random)
        values, others = one.state_dict(), two.state_dict()
        assert values.keys() == others.keys()
        assert all(torch.equal(value, others[name]) for name, value in values.items())
        inputs = batch()
        assert torch.equal(self.step(one, inputs)[1].logits, self.step(two, inputs)[1].logits)
        if self.random:
            assert not torch.equal(one(inputs).logits, one(inputs).logits)

    def test_evaluation_is_deterministic_and_draws_nothing(self) -> None:
        network, inputs = self.network(**self.random).eval(), batch()
        before, state = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
        first = network(inputs)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(network(inputs).logits, first.logits)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def test_a_checkpoint_brings_it_back(self, tmp_path: Path) -> None:
        network, inputs = self.network().float(), collate(dialogues())
        self.step(network, inputs)
        checkpoint.save(tmp_path, network, facts(network, self.settings))
        loaded = checkpoint.load(tmp_path, torch.device("cpu"))
        assert loaded.facts.model == self.settings
        assert torch.equal(loaded.network(inputs).logits, network.eval()(inputs).logits)

    def test_later_utterances_reach_earlier_ones_unless_it_is_causal(self) -> None:
        network, inputs = self.evaluated(), batch((9, 9))
        later = torch.zeros_like(inputs.mask)
        later[:, 5:] = True
        changed = replace(
            inputs,
            features={name: rows + 3.0 * later.unsqueeze(-1) for name, rows in inputs.features.items()},
            speakers=torch.where(later, (inputs.speakers + 1) % 3, inputs.speakers),
        )
        first, other = network(inputs).logits[:, :5], network(changed).logits[:, :5]
        if network.causal:
            torch.testing.assert_close(other, first, **CLOSE)
        else:
            assert not torch.allclose(other, first, **CLOSE)

    def test_a_recordings_level_is_taken_off_or_refused(self) -> None:
        plain, inputs = self.network().eval(), batch()
        if plain.causal:
            with pytest.raises(TrainingError, match=r"model\.centred: .* hears no later utterance, .*, found audio; "):
                self.network(centred=["audio"])
            return
        network = self.network(centred=["audio"]).eval()
        plain.load_state_dict(network.state_dict())
        if (beside := getattr(plain, "neighbourhood", None)) is not None:  # it reads fewer means of what is centred
            beside.centred = network.neighbourhood.centred
        audio, scale = inputs.features["audio"].clone(), plain.normalise.modalities["audio"]
        for row in range(len(audio)):
            here = inputs.present["audio"][row]
            scaled = scale(audio[row, here])
            less = scaled - scaled.sum(0) / (len(scaled) + RECORDING_PRIOR)
            audio[row, here] = less * scale.deviation + scale.mean
        by_hand = replace(inputs, features=inputs.features | {"audio": audio})
        logits = network(inputs).logits
        torch.testing.assert_close(logits, plain(by_hand).logits, **CLOSE)
        assert not torch.allclose(logits, plain(inputs).logits, **CLOSE)

    def test_speakers_may_change_their_numbers_unless_these_matter(self) -> None:
        network, inputs = self.evaluated(), batch()
        renamed = replace(inputs, speakers=torch.tensor([2, 0, 1])[inputs.speakers])
        found, expected = network(renamed).logits[inputs.mask], network(inputs).logits[inputs.mask]
        if network.numbered_speakers:
            assert not torch.allclose(found, expected, **CLOSE)
        else:
            torch.testing.assert_close(found, expected, **CLOSE)

    def test_float32_says_what_float64_says(self) -> None:
        inputs = batch()
        expected = self.evaluated()(inputs).logits
        single = self.network().eval().float()(collate(dialogues())).logits.double()
        torch.testing.assert_close(single[inputs.mask], expected[inputs.mask], atol=2e-4, rtol=1e-3)

    def test_half_precision_stays_finite(self) -> None:
        network, inputs = self.network().float(), collate(dialogues())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts, output = self.step(network, inputs)
        assert output.logits.isfinite().all() and summed(parts).isfinite()

    def test_steps_lower_the_loss(self) -> None:
        network, inputs = self.network(), batch()
        groups = [list(group.parameters) for group in network.parameter_groups() if group.parameters]
        if not groups:
            return
        optimizer = torch.optim.Adam([weight for group in groups for weight in group], lr=3e-2)
        first = parts = self.step(network, inputs)[0]
        for _ in range(7):
            optimizer.zero_grad()
            summed(parts).backward()
            optimizer.step()
            parts = self.step(network, inputs)[0]
        assert parts["cross_entropy"].value < 0.9 * first["cross_entropy"].value

    def test_a_search_may_go_to_the_extremes_of_what_is_searchable(self) -> None:
        space = import_module(f"{NETWORKS}.{self.settings.kind}").SEARCHABLE
        assert space
        extremes = [with_extreme({key: what}, side) for key, what in space.items() for side in (0, 1)]
        whole = [with_extreme(space, side) for side in (0, 1)]
        kept = {name: getattr(self.settings, name) for name in ("sentiments",) if hasattr(self.settings, name)}
        for tables in (*extremes, *whole):
            training = TrainSettings.model_validate(tables.get("train", {}))
            settings = type(self.settings).model_validate(kept | tables.get("model", {}))
            for key in space:
                part, _, name = key.partition(".")
                if name in tables.get(part, {}):
                    assert getattr(training if part == "train" else settings, name) == tables[part][name], key
            if tables in whole:
                with torch.device("meta"):  # no memory: the widest have 80 million parameters
                    network = build(settings, WIDTHS, CLASSES)
                assert all(parameter.is_meta for parameter in network.parameters())


def with_extreme(space: Space, side: int) -> dict[str, dict[str, Any]]:
    """The settings' tables with one extreme of each setting of a space."""
    tables: dict[str, dict[str, Any]] = {}
    for key, what in space.items():
        part, _, name = key.partition(".")
        tables.setdefault(part, {})[name] = what.extremes[side]
    return tables


def facts(network: Network, settings: NetworkSettings) -> CheckpointFacts:
    """Facts of a checkpoint; what is said of its data is made up."""
    return CheckpointFacts(
        format=checkpoint.FORMAT,
        seed=0,
        epoch=1,
        valid_weighted_f1=0.5,
        labels=("neutral", "joy", "anger"),
        widths=WIDTHS,
        model=settings,
        train=TrainSettings(),
        data=DataFacts(digest="0" * 64, splits={}),
        versions={},
        tensors="",
    )


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()


def _size(some: Sequence[Dialogue], per: str) -> int:
    if per == "dialogues":
        return len(some)
    labels = np.concatenate([one.labels for one in some])
    return int((labels != UNLABELLED).sum()) if per == "labels" else len(labels)
