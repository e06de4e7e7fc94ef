from dataclasses import replace

import numpy as np
import pytest
import torch

from bigfusion.model.data.batch import UNLABELLED, Dialogue, collate
from bigfusion.model.layers.graph import build_graph
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.network_notes import notes
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.networks.bigfusion import BigFusion
from tests.helpers.network_suite import CLASSES, WIDTHS, NetworkSuite, summed
from tests.helpers.slow_forms import dialogue, double

TAUGHT = {"contrast": {"positives": "label", "negatives": "batch", "classify": 0.5, "temperature": 0.2}}
SPEAKERS = {"relative": ["text", "audio"], "relative_fusion": True}
BESIDE = {"graph": {"window": 3, "neighbourhood": {"enabled": True, "bands": [[1, 1], [2, 4]]}}}
VOTED = {"retrieval": {"enabled": True}}


def settings(**changes):
    small = {"width": 16, "heads": 2, "dropout": 0.0, "graph": {"window": 3}, "attention": {"window": 3}}
    return BigFusionSettings.model_validate(small | changes)


def network(*, seed=0, **changes):
    torch.manual_seed(seed)
    model = BigFusion(settings(**changes), WIDTHS, CLASSES).double()
    model.fit(dialogues())
    for vector in model.fusion.absent.values():
        torch.nn.init.normal_(vector)
    return model


def dialogues(lengths=(6, 1, 9)) -> list[Dialogue]:
    return [dialogue(length, widths=WIDTHS, classes=CLASSES, speakers=3) for length in lengths]


def batch(*, pad_to=None, lengths=(6, 1, 9)):
    return double(collate(dialogues(lengths), pad_to))


def loss(model, output, inputs):
    return summed(model.loss(output, inputs))


def seeded(model, inputs):
    """Loss and output of a training step, the noise being the same every time."""
    torch.manual_seed(7)
    output = model(inputs)
    return loss(model, output, inputs), output


class TestBigFusion(NetworkSuite):
    settings = settings()
    random = {"dropout": 0.3}


class TestTuned(NetworkSuite):
    settings = settings(**SPEAKERS, **TAUGHT, **BESIDE)
    random = {"feature_dropout": 0.3}


class TestBest(NetworkSuite):
    settings = settings(**SPEAKERS, **TAUGHT, **BESIDE, **VOTED)
    random = {"feature_dropout": 0.3}


def test_what_comes_out():
    output = network()(batch())
    assert output.logits.shape == (3, 9, CLASSES)
    assert {name: rows.shape for name, rows in output.representations.items()} == dict.fromkeys(
        ("fusion", "context", "graph"), (3, 9, 16)
    )
    assert output.parts["contrast"].shape == () and output.parts["contrast"] > 0
    assert set(output.rates) == {f"layer{n}.{part}" for n in (1, 2) for part in ("query", "key", "value")}
    assert all(rates.shape == (16, 16) and 0 < rates.mean() < 1 for rates in output.rates.values())


def test_the_logits_are_those_of_graph_and_context_side_by_side():
    model, inputs = network().eval(), batch()
    output = model(inputs)
    _, linear = model.classifier
    expected = (
        torch.cat([output.representations["graph"], output.representations["context"]], -1) @ linear.weight.T
        + linear.bias
    )
    torch.testing.assert_close(output.logits[inputs.mask], expected[inputs.mask])


@pytest.mark.parametrize("changes", [{}, SPEAKERS | TAUGHT | BESIDE], ids=["default", "tuned"])
def test_the_order_of_dialogues_makes_no_difference(changes):
    model, some = network(**changes), dialogues()
    total, output = seeded(model, double(collate(some)))
    turned_total, turned = seeded(model, double(collate(some[::-1])))
    torch.testing.assert_close(turned.logits.flip(0), output.logits, atol=1e-10, rtol=1e-9)
    torch.testing.assert_close(turned_total, total, atol=1e-10, rtol=1e-9)


def test_present_values_that_are_not_numbers_count_as_the_mean():
    model, inputs = network().eval(), batch()
    inputs.present["audio"][0, 2] = True
    means, broken = ({name: value.clone() for name, value in inputs.features.items()} for _ in range(2))
    broken["audio"][0, 2, 1] = torch.nan
    means["audio"][0, 2, 1] = dict(model.normalise.modalities.items())["audio"].mean[1]
    torch.testing.assert_close(
        model(replace(inputs, features=broken)).logits, model(replace(inputs, features=means)).logits
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"graph": {"window": 3, "layers": 2}},
        {"attention": {"alpha": 0.0}},
        {"attention": {"alpha": 1.0}},
        {"audio_width": 4},
        SPEAKERS | TAUGHT | BESIDE,
        {"contrast": {"pair": "original", "negatives": "batch"}},
    ],
)
def test_gradients_reach_every_parameter(changes):
    model = network(**changes)
    seeded(model, batch(lengths=(6, 1, 9, 12)))[0].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_is_the_slope_of_the_loss():
    """Without spikes, whose gradient is a surrogate, along a random direction through all parameters."""
    model, inputs = network(spiking={"enabled": False}, **SPEAKERS, **TAUGHT, **BESIDE), batch()
    seeded(model, inputs)[0].backward()
    torch.manual_seed(8)
    parameters = [*model.parameters()]
    direction = [torch.randn_like(parameter) for parameter in parameters]
    expected = sum((parameter.grad * step).sum() for parameter, step in zip(parameters, direction, strict=True))
    values = []
    with torch.no_grad():
        for size in (1e-6, -2e-6):
            for parameter, step in zip(parameters, direction, strict=True):
                parameter.add_(step, alpha=size)
            values.append(seeded(model, inputs)[0])
    assert ((values[0] - values[1]) / 2e-6).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.slow
def test_it_overfits_labels_that_only_the_context_tells():
    """The label is the class that the utterance before spoke of; the utterance itself knows nothing of it."""
    rng = np.random.default_rng(0)
    centres, some = 2 * rng.normal(size=(CLASSES, 7)), []
    for number in range(6):
        told = rng.integers(0, CLASSES, 8)
        one = dialogue(8, widths={"text": 7}, seed=number)
        labels = np.concatenate([[UNLABELLED], told[:-1]])
        some.append(replace(one, features={"text": centres[told].astype(np.float32)}, labels=labels))
        some[-1].present["text"][:] = True
    torch.manual_seed(0)
    model = BigFusion(settings(modalities=["text"], width=32, contrast={"weight": 0.1}), {"text": 7}, CLASSES)
    optimizer, inputs = torch.optim.Adam(model.parameters(), lr=3e-3), collate(some)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model, model(inputs), inputs).backward()
        optimizer.step()
    model.eval()
    labelled = inputs.labels != UNLABELLED
    assert (model(inputs).logits.argmax(-1) == inputs.labels)[labelled].float().mean() == 1


def test_evaluation_is_deterministic_and_draws_nothing():
    model, inputs = network(dropout=0.5).eval(), batch()
    state = torch.get_rng_state()
    first = model(inputs)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model(inputs).logits, first.logits)
    assert not first.parts
    assert model(inputs, contrast=True).parts["contrast"] > 0


def test_one_seed_governs_a_training_step():
    model, inputs = network(dropout=0.3), batch()
    assert torch.equal(seeded(model, inputs)[0], seeded(model, inputs)[0])
    assert not torch.equal(model(inputs).logits, model(inputs).logits)
    assert not model(inputs, contrast=False).parts


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"spiking": {"enabled": False}}, None),
        ({"spiking": {"rise": 0.0}}, None),
        ({"attention": {"alpha": 1.0}}, "transformer.layers.0.attention.fusion"),
        ({"attention": {"alpha": 0.0}}, None),
        ({"graph": {"enabled": False}}, "encoder"),
        ({"graph": {"relations": "pairs", "speakers": 3}}, None),
        ({"graph": {"window": 0}}, None),
        (BESIDE, None),
        ({"graph": {"enabled": False, "neighbourhood": {"enabled": True}}}, "encoder"),
        ({"graph": {"neighbourhood": {"enabled": True, "bands": []}}}, None),
        ({"contrast": {"enabled": False}}, None),
        ({"importance": {"gamma": 0.0}}, None),
        ({"importance": {"gamma": 1.0}}, None),
        ({"importance": {"method": "random"}}, None),
        ({"importance": {"estimator": "histogram", "draws": 3}}, None),
        ({"relative": ["audio"]}, None),
        ({"relative_fusion": True}, None),
        ({"relative": ["audio"], "audio_width": 6}, None),
        ({"relative": ["audio"], "modalities": ["text"]}, "fusion.projections.audio"),
        ({"feature_dropout": 0.3}, None),
        ({"modalities": ["text", "audio"]}, "fusion.projections.visual"),
        ({"modalities": ["visual"]}, "fusion.projections.text"),
    ],
)
def test_every_switch_runs(changes, absent):
    model, inputs = network(**changes), batch()
    total, output = seeded(model, inputs)
    total.backward()
    assert total.isfinite() and output.logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    assert absent is None or not any(name.startswith(absent) for name in model.state_dict())
    assert any(name.startswith(absent) for name in network().state_dict()) if absent else True
    off = "contrast" in changes or not changes.get("graph", {}).get("enabled", True)
    assert ("contrast" not in output.parts) == off
    assert bool(output.rates) == ("spiking" not in changes or changes["spiking"].get("enabled", True))


@pytest.mark.parametrize(
    "changes",
    [
        {"importance": {"gamma": 0.0}},
        {"importance": {"gamma": 1.0}},
        {"importance": {"estimator": "histogram"}},
        {"importance": {"draws": 4}},
        {"importance": {"method": "random"}},
        {"contrast": {"pair": "original"}},
        {"contrast": {"negatives": "batch"}},
        {"contrast": {"temperature": 0.5}},
        {"contrast": {"eta": 0.1}},
        {"contrast": {"positives": "label"}},
        {"contrast": {"rho": [0.6, 0.3]}},
    ],
)
def test_every_choice_of_the_contrast_makes_a_difference(changes):
    inputs = batch(lengths=(14, 9, 17))
    default, other = (seeded(network(**choice), inputs)[1] for choice in ({}, changes))
    assert torch.equal(default.logits, other.logits)
    assert not torch.isclose(default.parts["contrast"], other.parts["contrast"], rtol=1e-9)


def test_whole_batch_negatives_are_those_of_one_long_dialogue():
    model, inputs = network(contrast={"negatives": "batch"}), batch()
    found = seeded(model, inputs)[1].parts["contrast"]
    nodes = int(inputs.mask.sum())
    assert found > seeded(network(), inputs)[1].parts["contrast"]  # more negatives
    assert found < 2 * np.log(nodes) + 2  # each term is log n + 2 / temperature at most


def test_an_offset_of_a_speaker_is_seen_beside_what_is_relative_to_it():
    """One speaker's text moves by a constant: the relative half of the projected features stays as it was."""
    model, inputs = network(relative=["text"]).eval(), batch()
    with torch.no_grad():
        model.fusion.projections["text"].weight[:, :7] = 0  # what reaches the network is the relative half alone
    moved = inputs.features["text"] + (inputs.speakers == 1).unsqueeze(-1).double()
    other = model(replace(inputs, features=inputs.features | {"text": moved}))
    torch.testing.assert_close(other.representations["fusion"], model(inputs).representations["fusion"])


def test_relative_fusion_is_the_fused_vector_and_a_map_of_it_less_its_speakers_mean():
    model, without, inputs = network(relative_fusion=True).eval(), network().eval(), batch()
    without.load_state_dict({name: value for name, value in model.state_dict().items() if "relative." not in name})
    torch.nn.init.eye_(model.relative.weight)
    torch.nn.init.zeros_(model.relative.bias)
    found, plain = (each(inputs).representations["fusion"] for each in (model, without))
    for row in range(3):
        for speaker in inputs.speakers[row].unique():
            own = (inputs.speakers[row] == speaker) & inputs.mask[row]
            if own.any():
                torch.testing.assert_close(found[row, own], 2 * plain[row, own] - plain[row, own].mean(0))


def test_dropped_features_are_left_out_in_training_alone():
    model, inputs = network(feature_dropout=0.5), batch()
    torch.manual_seed(0)
    one, other = (model(inputs).representations["fusion"] for _ in range(2))
    assert not torch.equal(one, other)
    model.eval()
    one, other = (each(inputs).representations["fusion"] for each in (model, network().eval()))
    assert torch.equal(one, other)  # the same weights: dropout has none


def test_the_loss_is_eq_12():
    model, inputs = network(), batch()
    inputs.labels[2, 4:6] = UNLABELLED
    total, output = seeded(model, inputs)
    terms = [
        -output.logits[row, place].log_softmax(0)[inputs.labels[row, place]]
        for row in range(3)
        for place in range(9)
        if inputs.mask[row, place] and inputs.labels[row, place] != UNLABELLED
    ]
    assert len(terms) == 14
    torch.testing.assert_close(total, torch.stack(terms).mean() + 0.5 * output.parts["contrast"], check_dtype=False)


def test_the_neighbourhood_classifier_speaks_in_evaluation_alone():
    """In training nothing differs; what is predicted is the geometric mean of both distributions."""
    inputs = batch()
    alone, model = network(), network(**BESIDE)
    for one, other in zip(seeded(alone, inputs)[:1], seeded(model, inputs)[:1], strict=True):
        assert torch.equal(one, other)
    own, both = alone.eval()(inputs).logits.softmax(-1), model.eval()(inputs).logits.softmax(-1)
    beside = model.neighbourhood(model._neighbourhood_inputs(model.columns(inputs))).exp()
    mean = (own[inputs.mask] * beside).sqrt()
    torch.testing.assert_close(both[inputs.mask], mean / mean.sum(-1, keepdim=True))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in alone.named_parameters()]


@pytest.mark.parametrize("beside", [{}, BESIDE, {"graph": {"enabled": False}}])
def test_like_texts_vote_in_evaluation_alone(beside):
    inputs = batch()
    alone, model = network(**beside), network(**beside, **VOTED)
    for one, other in zip(seeded(alone, inputs)[:1], seeded(model, inputs)[:1], strict=True):
        assert torch.equal(one, other)
    columns = model.columns(inputs)
    odds = model.retrieval(columns.features["text"], columns.present["text"])
    own, voted = (found.eval()(inputs).logits[inputs.mask].softmax(-1) for found in (alone, model))
    product = own * (0.8 * odds).exp()
    torch.testing.assert_close(voted, product / product.sum(-1, keepdim=True))
    assert odds[columns.present["text"]].abs().sum(-1).all() and not odds[~columns.present["text"]].any()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in alone.named_parameters()]


def test_without_text_nothing_votes():
    assert network(modalities=["audio"], **VOTED).retrieval is None


def test_a_reader_is_told_that_like_texts_vote():
    assert notes(settings()) == ()
    (note,) = notes(settings(**VOTED))
    assert note.startswith("training utterances with like words vote (model.retrieval): the checkpoint holds")
    assert notes(settings(modalities=["audio"], **VOTED)) == (), "without text nothing votes"
    assert notes(settings(features=["audio", "audio.wavlm"], **VOTED)) == ()
    assert notes(settings(features=["audio", "text.mpnet"], **VOTED)) == (note,)


@pytest.mark.parametrize("relative", [(), ("text", "audio")])
def test_the_neighbourhood_classifier_reads_no_learned_sum_of_features(relative):
    """It is fitted before the first step: what the steps change, it must not read."""
    widths, changes = {"text": 4, "text.mpnet": 3, "audio": 5}, BESIDE | {"modalities": ("text", "audio")}
    talks = [dialogue(length, widths=widths, seed=1) for length in (6, 9)]
    found = []
    for fusion in ("concatenate", "weights"):
        torch.manual_seed(0)
        model = BigFusion(settings(**changes, fusion=fusion, fusion_width=6, relative=relative), widths, CLASSES)
        model.fit(talks)
        for weight in model.merge.parameters():  # trained
            torch.nn.init.normal_(weight)
        found.append(model.neighbourhood(model._neighbourhood_inputs(model.columns(collate(talks)))))
    assert len(list(model.merge.parameters())) == 5 and model.eval()(collate(talks)).logits.isfinite().all()
    assert torch.equal(*found)


def test_a_centred_modality_has_no_mean_over_the_dialogue_in_the_classifier_beside_the_network():
    """Of the mean of fifty utterances the centring leaves a twelfth, of that of two five sevenths: standardised on the
    one, the other would be a level of ten deviations.
    """
    widths, changes = {"text": 4, "audio": 5}, BESIDE | {"modalities": ("text", "audio"), "centred": ["audio"]}
    torch.manual_seed(0)
    model = BigFusion(settings(**changes), widths, CLASSES)
    model.fit([dialogue(50, widths=widths, seed=seed) for seed in range(4)])
    text, audio = model.neighbourhood.weight[:, -9:].split([4, 5], dim=1)  # of the dialogue's mean, the last block
    assert text.all() and not audio.any()


def test_relative_features_leave_out_who_lacks_one_of_several():
    """The speaker's mean of a feature is that of the utterances that have it, not of all that have some feature."""
    text = {"text": np.array([[1.0], [3.0], [0.0]], np.float32), "text.mpnet": np.ones((3, 1), np.float32)}
    present = {"text": np.array([True, True, False]), "text.mpnet": np.ones(3, bool)}
    talk = replace(dialogue(3, widths={"text": 1, "text.mpnet": 1}, speakers=1), features=text, present=present)
    model = BigFusion(settings(modalities=("text",), relative=("text",)), {"text": 1, "text.mpnet": 1}, CLASSES)
    model.fit([talk])
    # standardised: -1, 1, absent; mean 0, deviation sqrt((2 + 1) / (2 + 1)) = 1
    assert model.read(collate([talk])).features["text"][:, 2].tolist() == [-1, 1, 0]


def test_smoothed_labels_are_spread_over_all_classes():
    model, inputs = network().eval(), batch()
    output, labelled = model(inputs), inputs.mask & (inputs.labels != UNLABELLED)
    logs, labels = output.logits[labelled].log_softmax(-1), inputs.labels[labelled]
    target = 0.7 * torch.eye(CLASSES, dtype=logs.dtype)[labels] + 0.3 / CLASSES
    torch.testing.assert_close(classification_loss(output.logits, inputs, 0.3), -(target * logs).sum(-1).mean())


def test_the_views_own_loss_joins_with_its_weight():
    model, inputs = network(contrast={"classify": 0.5}), batch()
    output = seeded(model, inputs)[1]
    own, *views = (classification_loss(logits, inputs) for logits in (output.logits, *output.parts["views"]))
    assert len(views) == 2 and all(view.shape == output.logits.shape for view in output.parts["views"])
    assert not torch.equal(output.parts["views"][0], output.parts["views"][1])
    expected = own + 0.5 * output.parts["contrast"] + 0.5 * (views[0] + views[1]) / 2
    torch.testing.assert_close(loss(model, output, inputs), expected)
    assert "views" not in network()(inputs).parts


def test_a_view_without_lowered_edges_is_the_graph_itself():
    model, inputs = network(contrast={"classify": 0.5, "rho": [0.0, 0.0]}), batch()
    output = model(inputs)
    for logits in output.parts["views"]:
        torch.testing.assert_close(logits, output.logits)


def test_without_a_label_the_classification_loss_is_a_finite_zero():
    model, inputs = network(), batch()
    inputs.labels.fill_(UNLABELLED)
    output = model(inputs, contrast=False)
    total = loss(model, output, inputs)
    total.backward()
    assert total == 0 and classification_loss(output.logits, inputs) == 0
    assert all(parameter.grad is None or (parameter.grad == 0).all() for parameter in model.parameters())


def test_a_row_of_padding_alone_disturbs_nobody():
    model, inputs = network().eval(), batch()
    more = {name: torch.cat([value, torch.zeros_like(value[:1])]) for name, value in inputs.features.items()}
    there = {name: torch.cat([value, torch.zeros_like(value[:1])]) for name, value in inputs.present.items()}
    mask, speakers, labels = (
        torch.cat([value, torch.full_like(value[:1], fill)])
        for value, fill in ((inputs.mask, False), (inputs.speakers, 0), (inputs.labels, UNLABELLED))
    )
    output = model(replace(inputs, features=more, present=there, mask=mask, speakers=speakers, labels=labels))
    torch.testing.assert_close(output.logits[:3][inputs.mask], model(inputs).logits[inputs.mask], atol=1e-10, rtol=1e-9)
    assert output.logits.isfinite().all()


@pytest.mark.parametrize("changes", [{}, SPEAKERS | TAUGHT | BESIDE], ids=["default", "tuned"])
def test_a_batch_of_padding_alone_is_finite(changes):
    model, inputs = network(**changes), batch()
    inputs = replace(inputs, mask=torch.zeros_like(inputs.mask))
    total, output = seeded(model, inputs)
    total.backward()
    assert total == 0 and output.logits.isfinite().all()


def test_importance_is_open_to_analysis():
    model, inputs = network().eval(), batch()
    graph = build_graph(inputs.mask, inputs.speakers, 3, model.relations)
    scores = model.importance(model(inputs).representations["context"][inputs.mask], graph)
    assert scores.shape == (16,) and scores[6] == 0 and scores.max() > 0.5
    with pytest.raises(RuntimeError, match=r"graph\.enabled"):
        network(graph={"enabled": False}).importance(torch.zeros(16, 16), graph)
