from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_notes import notes
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.model.networks.base import build
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import read_history
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.modalities import modality_scores
from bigfusion.model.training.train import fitting, train
from tests.helpers.network_suite import NetworkSuite
from tests.helpers.slow_forms import dialogue
from tests.helpers.small_runs import small_data, small_training

CPU = torch.device("cpu")


class TestDiscriminant(NetworkSuite):
    settings = DiscriminantSettings()


def single(count: int, seed: int, width: int = 120, classes: int = 4) -> list[Dialogue]:
    """Utterances whose label is a faint direction among many loud ones, as a speaker's voice is in speech."""
    random = np.random.default_rng(seed)
    loud = np.random.default_rng(99).normal(size=(12, width))
    faint = np.random.default_rng(98).normal(size=(classes, width)) * 0.3
    made = []
    for number in range(count):
        label = number % classes
        values = faint[label] + random.normal(size=12) * 3 @ loud + random.normal(size=width) * 0.5
        name = f"{seed}-{number}"
        made.append(
            Dialogue(
                name,
                (f"{name}/0",),
                {"audio": values[None].astype(np.float32)},
                {"audio": np.ones(1, bool)},
                np.zeros(1, np.int64),
                np.array([label]),
            )
        )
    return made


def rows(dialogues: list[Dialogue]) -> np.ndarray:
    return np.concatenate([dialogue.features["audio"] for dialogue in dialogues])


def truth(dialogues: list[Dialogue]) -> np.ndarray:
    return np.concatenate([dialogue.labels for dialogue in dialogues])


DATA = Data(("a", "b", "c", "d"), single(90, 1), single(10, 2), single(200, 3))
PLAIN = BigFusionSettings(modalities=("audio",))


def test_single_utterances_by_default_score_at_least_as_logistic_regression(tmp_path):
    train(DATA, PLAIN, small_training(epochs=2), 0, tmp_path / "plain")
    kept = checkpoint.load(tmp_path / "plain", CPU)
    assert kept.facts.model == DiscriminantSettings(modalities=("audio",), instead_of="bigfusion")
    found = kept.network(collate(DATA.test)).logits[:, 0].argmax(1)
    taught = [*DATA.train, *DATA.valid]
    mean, deviation = rows(taught).mean(0), rows(taught).std(0)
    trusted = LogisticRegression(max_iter=1000).fit((rows(taught) - mean) / deviation, truth(taught))
    said = trusted.predict((rows(DATA.test) - mean) / deviation)
    ours, theirs = (f1_score(truth(DATA.test), each, average="weighted") for each in (found, said))
    assert ours > theirs > 0.4

    small = PLAIN.itself().model_copy(update={"width": 32})
    train(DATA, small, small_training(epochs=2, batch_size=8), 0, tmp_path / "network")
    other = checkpoint.load(tmp_path / "network", CPU)
    assert other.facts.model.kind == "bigfusion"
    assert ours > f1_score(
        truth(DATA.test), other.network(collate(DATA.test)).logits[:, 0].argmax(1), average="weighted"
    )


def test_the_validation_split_is_judged_by_a_fit_that_has_not_seen_it(tmp_path):
    train(DATA, PLAIN, small_training(epochs=1), 0, tmp_path)
    network = checkpoint.load(tmp_path, CPU).network
    without = build(fitting(DATA, PLAIN), DATA.widths, 4)
    without.fit(DATA.train)
    both = build(fitting(DATA, PLAIN), DATA.widths, 4)
    both.fit([*DATA.train, *DATA.valid])
    both.normalise = without.normalise
    torch.testing.assert_close(network(collate(DATA.valid)).logits, without.eval()(collate(DATA.valid)).logits)
    mixed = [DATA.test[0], DATA.valid[3], DATA.test[1]]
    found = network(collate(mixed)).logits[:, 0].argmax(1)
    assert found[1] == without(collate(mixed)).logits[1, 0].argmax()
    assert not torch.equal(network(collate(DATA.test)).logits, without(collate(DATA.test)).logits)
    history = read_history(tmp_path)
    true = truth(DATA.valid)
    said = without(collate(DATA.valid)).logits[:, 0].argmax(1).numpy()
    assert history[0].valid_accuracy == np.mean(true == said)


def test_the_name_of_a_dialogue_changes_no_prediction(tmp_path):
    train(DATA, PLAIN, small_training(epochs=1), 0, tmp_path)
    network = checkpoint.load(tmp_path, CPU).network
    namesakes = [replace(one, id=other.id) for one, other in zip(DATA.test, DATA.valid, strict=False)]
    assert torch.equal(network(collate(namesakes)).logits, network(collate(DATA.test[: len(namesakes)])).logits)
    renamed = [replace(one, id=f"other-{one.id}") for one in DATA.valid]
    assert torch.equal(network(collate(renamed)).logits, network(collate(DATA.valid)).logits)


def test_a_checkpoint_that_names_the_validation_dialogues_is_still_read(tmp_path):
    train(DATA, PLAIN, small_training(epochs=1), 0, tmp_path)
    kept = checkpoint.load(tmp_path, CPU)
    state = kept.network.state_dict() | {"held": torch.arange(3)}
    again = checkpoint.rebuilt(kept.facts, state, CPU, tmp_path).network
    assert torch.equal(again(collate(DATA.test)).logits, kept.network(collate(DATA.test)).logits)


def test_a_network_that_also_learned_from_validation_would_flatter_itself():
    """Why there are two fits: the labels here say nothing, and the fit on both splits knows them by heart."""
    random = np.random.default_rng(0)
    shuffled = [replace(one, labels=random.integers(0, 4, 1)) for one in DATA.valid]
    network = build(DiscriminantSettings(modalities=("audio",), shrinkage=0.02), DATA.widths, 4)
    network.prepare(DATA.train, shuffled)
    honest = (network(collate(shuffled)).logits[:, 0].argmax(1).numpy() == truth(shuffled)).mean()
    unmarked = [replace(one, validation=False) for one in shuffled]
    flattering = (network(collate(unmarked)).logits[:, 0].argmax(1).numpy() == truth(shuffled)).mean()
    assert flattering > honest + 0.2


def test_validation_is_not_flattered_by_features_that_are_masked_or_computed_again(tmp_path):
    """Noise with labels drawn at random: whoever scores better than by chance has seen them."""
    random = np.random.default_rng(1)

    def noise(count, name):
        return [
            Dialogue(
                f"{name}-{number}",
                (f"{name}-{number}/0",),
                {key: random.normal(size=(1, 60)).astype(np.float32) for key in ("text", "audio")},
                {key: np.ones(1, bool) for key in ("text", "audio")},
                np.zeros(1, np.int64),
                random.integers(0, 4, 1),
            )
            for number in range(count)
        ]

    data = Data(("a", "b", "c", "d"), noise(100, "train"), noise(100, "valid"), [])
    train(data, BigFusionSettings(modalities=("text", "audio")), small_training(epochs=1), 0, tmp_path / "seed-0")
    metrics = evaluate(tmp_path, data, (0,), "cpu")
    assert metrics.scored.value == "valid"
    assert all(row.mean.weighted_f1 < 0.45 for row in modality_scores(tmp_path, data, metrics, "cpu").rows)
    network = checkpoint.load(tmp_path / "seed-0", CPU).network
    again = [
        replace(one, features={key: rows * np.float32(1 + 2e-7) for key, rows in one.features.items()})
        for one in data.valid
    ]
    assert (network(collate(again)).logits[:, 0].argmax(1).numpy() == truth(again)).mean() < 0.45


@pytest.mark.slow
def test_it_can_be_compiled(tmp_path):
    train(DATA, PLAIN, small_training(epochs=1), 0, tmp_path / "plain")
    train(DATA, PLAIN, small_training(epochs=1, compile=True), 0, tmp_path / "compiled")
    plain, compiled = (checkpoint.load(tmp_path / name, CPU).network for name in ("plain", "compiled"))
    torch.testing.assert_close(plain(collate(DATA.test)).logits, compiled(collate(DATA.test)).logits)


def test_conversations_numbers_and_the_network_itself_are_left_alone():
    assert fitting(small_data(), PLAIN) is PLAIN
    assert fitting(DATA, PLAIN.itself()) == PLAIN.itself()
    chosen = DiscriminantSettings(modalities=("audio",))
    assert fitting(DATA, chosen) is chosen and "learns from the validation utterances too" in notes(chosen)[0]
    numbers = [replace(one, values=np.ones(1, np.float32), labels=np.zeros(1, np.int64)) for one in DATA.train]
    assert fitting(Data(("value",), numbers, numbers, []), PLAIN) is PLAIN


def test_what_stands_in_says_so():
    (note,) = notes(fitting(DATA, PLAIN))
    assert note.startswith("single utterances: ") and 'model.single_utterances = "network"' in note


def test_it_reads_the_features_that_the_network_would():
    settings = BigFusionSettings(modalities=("audio",), features=("whisper",)).for_single_utterances()
    assert settings.features == ("whisper",) and [*settings.chosen(["audio", "audio.whisper"])] == ["audio.whisper"]


@pytest.mark.parametrize("seed", [0, 1])
def test_several_features_stand_side_by_side_whatever_fusion_says(seed):
    """Weights of a sum would be learned by steps, and there are none."""
    widths = {"text": 4, "text.mpnet": 3}
    talks = [dialogue(12, widths=widths, seed=number) for number in range(3)]
    torch.manual_seed(seed)
    beside, summed = (
        DiscriminantSettings(modalities=("text",), fusion=fusion) for fusion in ("concatenate", "weights")
    )
    one, other = (build(settings, widths, 3) for settings in (beside, summed))
    for network in (one, other):
        network.fit(talks)
    assert not list(other.parameters()) and summed.numbers() == beside.numbers()
    assert torch.equal(one(collate(talks)).logits, other(collate(talks)).logits)
