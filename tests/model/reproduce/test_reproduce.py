"""The paper's table and figures: which networks they compare, what is read off them, and that nothing is done twice."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from bigfusion.model.data.batch import UNLABELLED, collate
from bigfusion.model.data.dialogues import true_labels
from bigfusion.model.reproduce.landscape import explained_variance, filter_normalised, landscape
from bigfusion.model.reproduce.plots import draw
from bigfusion.model.reproduce.studies import STUDIES
from bigfusion.model.reproduce.tables import rows
from bigfusion.model.reproduce.trials import Study
from bigfusion.model.reproduce.variants import COMPLETE, TABLE_4, WEIGHTS, balance
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import Epoch, seed_folder
from bigfusion.model.scoring.predict import predict
from bigfusion.pipeline.errors import SettingsError
from tests.helpers.small_runs import small_data, small_model, small_training

CPU = torch.device("cpu")
CONTRASTED = ("w/o GCL", "GCL w/o local", "GCL w/o global")
SPIKING = ("w/o spiking attention", "w/o threshold regulation")


def study(folder: Path, **changes: object) -> Study:
    training = {"seeds": (0, 1), "epochs": 1, "batch_size": 12} | changes
    return Study.of(folder, small_data(), small_training(**training))


def make(name: str, folder: Path, told: list[Epoch] | None = None, corpus: str | None = None) -> dict:
    epochs = [] if told is None else told
    return STUDIES[name](study(folder), small_model(), corpus, epochs.append, lambda line: None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which table 4 was made."""
    folder = tmp_path_factory.mktemp("reproduction")
    make("table-4", folder)
    return folder


def test_every_row_of_table_4_is_another_network() -> None:
    base = small_model()
    settings = [variant.of(base) for variant in TABLE_4]
    assert settings[0] == base
    assert len({one.model_dump_json() for one in settings}) == len(settings) == 8
    assert [variant.paper["iemocap"][1] for variant in TABLE_4] == [
        72.91,
        68.5,
        71.23,
        71.76,
        71.72,
        71.9,
        69.82,
        72.06,
    ]
    assert [variant.paper["meld"][0] for variant in TABLE_4] == [68.24, 65.51, 66.05, 66.93, 67.13, 66.59, 66.74, 67.44]


@pytest.mark.parametrize(
    ("changes", "names", "why"),
    [
        ({}, set(), ""),
        ({"contrast": {"kind": "random_nodes"}}, CONTRASTED[1:], 'model.contrast.kind = "random_nodes"'),
        ({"importance": {"method": "random"}}, CONTRASTED[1:], 'model.importance.method = "random"'),
        ({"contrast": {"rho": (0, 0)}}, CONTRASTED[1:], "model.contrast.rho = [0, 0]"),
        ({"importance": {"gamma": 1}}, {"GCL w/o local"}, "model.importance.gamma = 1.0"),
        ({"contrast": {"enabled": False}}, CONTRASTED, "model.contrast.enabled = false"),
        ({"contrast": {"weight": 0}}, CONTRASTED, "model.contrast.weight = 0"),
        ({"graph": {"enabled": False}}, CONTRASTED, "model.graph.enabled = false"),
        ({"spiking": {"enabled": False}}, SPIKING, "model.spiking.enabled = false"),
        ({"spiking": {"rise": 0}}, SPIKING[1:], "model.spiking.rise = 0.0"),
        ({"spiking": {"steps": 1}}, SPIKING[1:], "model.spiking.steps = 1"),
        ({"attention": {"alpha": 1}}, {"attention w/o local"}, "model.attention.alpha = 1.0"),
    ],
)
def test_a_row_that_takes_nothing_away_is_known_before_it_is_trained(changes, names, why) -> None:
    """It trained the same network again and stood there with a difference of 0.00 [0.00, 0.00]."""
    found = {variant.name: variant.idle(small_model(**changes)) for variant in TABLE_4}
    assert {name: said for name, said in found.items() if said} == dict.fromkeys(names, why)


def test_on_single_utterances_there_is_no_context_to_take_away() -> None:
    found = {variant.name for variant in TABLE_4 if variant.idle(small_model(), single_utterances=True)}
    assert found == {"attention w/o local", "attention w/o global", "GCL w/o local", "GCL w/o global"}


def test_a_table_leaves_out_what_takes_nothing_away_and_says_so(tmp_path: Path) -> None:
    model = small_model(graph={"enabled": False}, spiking={"enabled": False}, attention={"alpha": 1})
    told: list[str] = []
    one = Study.of(tmp_path, small_data(), small_training(epochs=1))
    data = STUDIES["table-4"](one, model, None, lambda epoch: None, told.append)
    assert [row["name"] for row in data["rows"]] == ["complete", "attention w/o global"]
    assert data["left_out"].keys() == {*CONTRASTED, *SPIKING, "attention w/o local"}
    assert told[0].startswith("w/o GCL: left out: ") and told[0].endswith("(model.graph.enabled = false)")
    assert len(rows(data)) == 2


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("figure-3", {"contrast": {"kind": "gca"}}, r'model\.importance, .* found model\.contrast\.kind = "gca"'),
        ("figure-5", {"spiking": {"enabled": False}}, r"reads model\.spiking"),
        ("figure-4", {"graph": {"enabled": False}, "spiking": {"enabled": False}}, "expected parts to take away"),
    ],
)
def test_a_figure_of_equal_networks_is_refused_before_it_is_trained(name, changes, said, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        STUDIES[name](study(tmp_path), small_model(**changes), None, lambda epoch: None, lambda line: None)
    assert not list(tmp_path.iterdir())


def test_the_axes_of_figure_3_are_the_papers() -> None:
    both = balance(0.6, 0.8).of(small_model())
    assert (both.attention.alpha, both.importance.gamma) == (0.6, 0.2)
    assert balance(1.0, 0.0).of(small_model()).importance.gamma == 1.0
    assert len(WEIGHTS) ** 2 == 36


def test_table_4_is_made_once(place: Path) -> None:
    epochs: list[Epoch] = []
    data = make("table-4", place, epochs, "iemocap")
    assert epochs == []
    assert [row["name"] for row in data["rows"]] == [variant.name for variant in TABLE_4]
    complete, other = data["rows"][0], data["rows"][1]
    assert complete["paper"] == {"accuracy": 72.64, "weighted_f1": 72.91}
    assert complete["against_complete"] is None
    expected = other["weighted_f1"]["mean"] - complete["weighted_f1"]["mean"]
    assert other["against_complete"]["difference"] == pytest.approx(expected)
    assert complete["weighted_f1"]["std"] == pytest.approx(np.std(complete["weighted_f1"]["values"], ddof=1))
    table = rows(data)
    assert table["network"].tolist() == [variant.name for variant in TABLE_4]
    assert table["weighted_f1"].tolist() == [100 * row["weighted_f1"]["mean"] for row in data["rows"]]
    assert table["weighted_f1_std"].tolist() == [100 * row["weighted_f1"]["std"] for row in data["rows"]]
    against = other["against_complete"]
    of_other = table.loc[1, ["difference", "low", "high", "p"]].tolist()
    assert of_other == [100 * against["difference"], 100 * against["low"], 100 * against["high"], against["p"]]
    assert table.loc[0, "paper_weighted_f1"] == 72.91, "points, as all of the row"
    pictures = draw(data, place / "table-4")
    assert [path.suffix for path in pictures] == [".svg", ".png"]
    assert all(path.stat().st_size > 5_000 for path in pictures)


def test_another_study_uses_what_is_trained_already(place: Path) -> None:
    epochs: list[Epoch] = []
    data = make("figure-4", place, epochs)
    assert len(epochs) == 2 * 1, "of its four networks the one without a graph alone is not in table 4"
    names = list(data["turns"][0]["predicted"])
    assert names[0] == COMPLETE.name
    test = {dialogue.id: dialogue for dialogue in small_data().test}
    assert [turn["utterance"] for turn in data["turns"]] == list(test[data["dialogue"]].utterances)
    assert len(data["turns"]) >= 6
    assert list(rows(data).columns) == ["utterance", "speaker", "true", *names]
    assert all(path.stat().st_size > 5_000 for path in draw(data, place / "figure-4"))


def test_a_study_on_other_data_or_settings_is_another_run(place: Path) -> None:
    other = Study.of(place, small_data(test=2), study(place).training)
    runs = {one.run(small_model()) for one in (study(place), other, study(place, batch_size=2))}
    assert len(runs) == 3
    more_seeds = study(place, seeds=(0, 1, 2))
    assert more_seeds.run(small_model()) == study(place).run(small_model())


@pytest.mark.slow
def test_figure_5(place: Path) -> None:
    data = make("figure-5", place)
    for model in data["models"].values():
        shares = model["explained_variance"]
        assert len(shares) == 8
        assert shares[-1] == pytest.approx(1)
        assert all(before <= after for before, after in pairwise(shares))
        assert np.shape(model["loss"]) == (15, 15)
    assert data["models"]["spiking"]["loss"] != data["models"]["plain"]["loss"]
    assert make("figure-5", place) == data
    assert {"component", "explained_variance", "x", "y", "loss", "attention"} == set(rows(data).columns)
    assert all(path.stat().st_size > 5_000 for path in draw(data, place / "figure-5"))


def test_explained_variance_is_that_of_the_transformers_output(place: Path) -> None:
    network = checkpoint.load(seed_folder(study(place).run(small_model()), 0), CPU).network
    shares = explained_variance(network, small_data().test, CPU)
    with torch.no_grad():
        batch = collate(small_data().test)
        values = network(batch).representations["context"][batch.mask].double().numpy()
    variances = np.sort(np.linalg.eigvalsh(np.cov(values.T)))[::-1]
    np.testing.assert_allclose(shares, np.cumsum(variances) / variances.sum(), atol=1e-6)


def test_the_landscape_is_centred_on_the_network_and_leaves_it_alone(place: Path) -> None:
    network = checkpoint.load(seed_folder(study(place).run(small_model()), 0), CPU).network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    valid = small_data().valid
    found = landscape(network, valid, CPU, points=5, reach=0.5)
    logits = predict(network, valid, CPU, 8)
    here = cross_entropy(logits, torch.from_numpy(true_labels(valid)), ignore_index=UNLABELLED).item()
    assert found.loss[2, 2] == pytest.approx(here, rel=1e-5)
    assert found.steps.tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    assert np.unique(found.loss).size > 20
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    again = landscape(network, valid, CPU, points=5, reach=0.5)
    assert again.loss.tolist() == found.loss.tolist()


def test_directions_have_the_norms_of_the_weights_filters() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]])
    drawn = filter_normalised(weight, torch.Generator().manual_seed(1))
    assert drawn.norm(dim=1).tolist() == pytest.approx([5.0, 0.0, 13.0])
    assert drawn[0].tolist() != pytest.approx([3.0, 4.0])
