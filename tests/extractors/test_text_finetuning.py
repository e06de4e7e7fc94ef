"""Fine-tuning a real (small) RoBERTa: it learns, resumes to the same bytes, and refuses what it cannot do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_encoder import SENTENCES, save_roberta

from extractors.finetune_settings import FinetuneSettings
from extractors.text import TextExtractor, TextSettings
from extractors.text_finetuning import LabelledCorpus, LabelledTexts, _weights, finetune
from pipeline.errors import ExtractionError
from pipeline.schema import Utterance

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = FinetuneSettings(epochs=3, learning_rate=1e-3, batch_size=8, device="cpu", threads=1)
LABELS = (0, 1, 0, 1, 2, 2)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextSettings:
    return TextSettings(model=str(save_roberta(tmp_path_factory.mktemp("roberta"))), device="cpu", layers="last4")


@pytest.fixture(scope="module")
def corpus() -> LabelledCorpus:
    teaching = LabelledTexts.of(SENTENCES * 8, LABELS * 8)
    return LabelledCorpus(("a", "b", "c"), teaching, LabelledTexts.of(SENTENCES, LABELS))


class Killed(Exception):
    """What stands for a kill."""


def killer(step: int):
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done == step:
            raise Killed

    return progress


def test_it_learns_and_the_extractor_takes_it(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    longer = SETTINGS.model_copy(update={"epochs": 6, "patience": 6})
    found = finetune(text, longer, corpus, tmp_path)
    assert found.weighted_f1[0] > 0.8  # six sentences that it has seen
    before, after = (
        TextExtractor(text.model_copy(update={"model": str(model)})) for model in (text.model, found.encoder)
    )
    assert before.spec.weights != after.spec.weights
    utterance = Utterance("u", SENTENCES[0])
    old, new = (extractor.extract([utterance])[0].vector for extractor in (before, after))
    assert old.shape == new.shape
    assert not torch.allclose(torch.from_numpy(old), torch.from_numpy(new))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "finetuned.json"]


def test_a_kill_changes_nothing(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    settings = SETTINGS.model_copy(update={"seeds": (0, 1), "class_weights": True})
    whole = finetune(text, settings, corpus, tmp_path / "whole")
    for step in (8, 12, 13):  # six steps an epoch, three epochs a seed
        with pytest.raises(Killed):
            finetune(text, settings, corpus, tmp_path / "killed", progress=killer(step))
    # A kill in the middle of writing a checkpoint leaves one without its last file.
    torn = tmp_path / "killed" / "seed-1" / "checkpoint-99"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_bytes(b"torn")
    again = finetune(text, settings, corpus, tmp_path / "killed")
    assert again.weighted_f1 == whole.weighted_f1
    one, other = (load_file(found.encoder / "model.safetensors") for found in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_finished_work_is_not_done_again(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    first = finetune(text, SETTINGS, corpus, tmp_path)
    assert finetune(text, SETTINGS, corpus, tmp_path, progress=killer(1)) == first


def test_other_inputs_are_refused(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    finetune(text, short, corpus, tmp_path)
    other = replace(corpus, train=LabelledTexts.of(SENTENCES, LABELS))
    with pytest.raises(ExtractionError, match="another train"):
        finetune(text, short, other, tmp_path)
    assert json.loads((tmp_path / "finetuned.json").read_text())["weighted_f1"]["0"] >= 0


def test_nothing_to_learn_from(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    empty = replace(corpus, valid=LabelledTexts.of(["", "unlabelled"], [1, -1]))
    with pytest.raises(ExtractionError, match="validation utterances, found none"):
        finetune(text, SETTINGS, empty, tmp_path)


def test_gradient_checkpointing_changes_no_number(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    still = SETTINGS.model_copy(update={"epochs": 1, "dropout": 0.0})
    plain = finetune(text, still, corpus, tmp_path / "plain")
    thrifty = still.model_copy(update={"gradient_checkpointing": True})
    checked = finetune(text, thrifty, corpus, tmp_path / "checked")
    one, other = (load_file(found.encoder / "model.safetensors") for found in (plain, checked))
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-3, atol=1e-5)


def test_class_weights_by_hand() -> None:
    """Six, three and one of ten: 10/(3*6), 10/(3*3), 10/(3*1); a class that never occurs weighs nothing."""
    labelled = LabelledTexts.of(["w"] * 10, [0] * 6 + [1] * 3 + [3])
    torch.testing.assert_close(_weights(labelled, 4), torch.tensor([10 / 18, 10 / 9, 0.0, 10 / 3]))
