"""Fine-tuning a real (small) RoBERTa: it learns, resumes to the same bytes, and refuses what it cannot do."""

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.extractors.text.finetuning import training
from bigfusion.extractors.text.finetuning.data import (
    NO_CLASS,
    Collator,
    LabelledCorpus,
    LabelledTexts,
    class_weights,
    rows_of,
    weighted_f1,
)
from bigfusion.extractors.text.finetuning.learned import LEARNED, mark, read_learned, write_learned
from bigfusion.extractors.text.finetuning.network import Classifier, rates
from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
from bigfusion.extractors.text.finetuning.training import finetune, total
from bigfusion.extractors.text.pretrained import load, locate
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Context, Line, Utterance
from tests.helpers.tiny_encoder import SENTENCES, save_roberta

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = FinetuneSettings(epochs=3, learning_rate=1e-3, batch_size=8, device="cpu", threads=1)
LABELS = (0, 1, 0, 1, 2, 2)
SAID = tuple(Utterance(f"u{number}", sentence) for number, sentence in enumerate(SENTENCES))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextSettings:
    return TextSettings(
        model=str(save_roberta(tmp_path_factory.mktemp("roberta"), longest=256)), device="cpu", layers="last4"
    )


@pytest.fixture(scope="module")
def corpus() -> LabelledCorpus:
    teaching = LabelledTexts.of(SAID * 8, LABELS * 8)
    return LabelledCorpus(("a", "b", "c"), teaching, LabelledTexts.of(SAID, LABELS))


def dialogue(number: int, before: int, after: int) -> list[Utterance]:
    """All six sentences, beginning with the ``number``-th, by two speakers."""
    lines = [Line("AB"[at % 2], SENTENCES[(number + at) % 6]) for at in range(6)]
    return [
        Utterance(f"d{number}u{at}", line.text,
                  context=Context(line.speaker, tuple(lines[max(0, at - before) : at]), tuple(lines[at + 1 :][:after])))
        for at, line in enumerate(lines)
    ]  # fmt: skip


def talks(before: int, after: int) -> LabelledCorpus:
    """Eight dialogues to learn from, four of which judge."""
    said = [dialogue(number, before, after) for number in range(8)]
    labels = [[LABELS[(number + at) % 6] for at in range(6)] for number in range(8)]
    split = [LabelledTexts.of([*chain(*said[:count])], [*chain(*labels[:count])]) for count in (8, 4)]
    return LabelledCorpus(("a", "b", "c"), *split)


class Killed(Exception):
    """What stands for a kill."""


def killer(step: int):
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += 1
        if done == step:
            raise Killed

    return progress


@pytest.mark.slow
def test_it_learns_and_the_extractor_takes_it(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    longer = SETTINGS.model_copy(update={"epochs": 12, "patience": 12})
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


@pytest.mark.slow
def test_a_kill_changes_nothing(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    by_depth = {"layer_decay": 0.9, "classes_rate": 5.0}
    settings = SETTINGS.model_copy(update={"seeds": (0, 1), "class_weights": True} | by_depth)
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


@pytest.mark.slow
def test_a_kill_does_not_renew_the_patience(
    tmp_path: Path, text: TextSettings, corpus: LabelledCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six steps an epoch; nothing is learnt after the first, so that the third is the last."""
    still = SETTINGS.model_copy(update={"epochs": 6, "patience": 2, "learning_rate": 1e-9})
    steps: list[int] = []
    whole = finetune(text, still, corpus, tmp_path / "whole", progress=steps.append)
    assert len(steps) == 18
    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        finetune(text, still, corpus, killed, progress=killer(14))

    def kill(*_: object) -> None:
        raise Killed

    for learnt in (6, 0):  # killed again when the last epoch is over: no other is learnt from
        steps.clear()
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(training, "_save", kill)
            finetune(text, still, corpus, killed, progress=steps.append)
        assert len(steps) == learnt
    assert finetune(text, still, corpus, killed).weighted_f1 == whole.weighted_f1


def test_finished_work_is_not_done_again(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    corpus = replace(corpus, renamed=frozenset({"another mark"}))
    short = SETTINGS.model_copy(update={"epochs": 1})
    first = finetune(text, short, corpus, tmp_path)
    learned = (first.encoder / LEARNED).stat()
    assert finetune(text, short, corpus, tmp_path, progress=killer(1)) == first
    assert (first.encoder / LEARNED).stat() == learned, "its folder may be read-only"


def test_other_inputs_are_refused(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    finetune(text, short, corpus, tmp_path)
    other = replace(corpus, train=LabelledTexts.of(SAID, LABELS))
    with pytest.raises(ExtractionError, match="another train"):
        finetune(text, short, other, tmp_path)
    assert json.loads((tmp_path / "finetuned.json").read_text())["weighted_f1"]["0"] >= 0


def test_an_encoder_that_is_fine_tuned_again_names_what_it_learned_from_before(
    tmp_path: Path, text: TextSettings, corpus: LabelledCorpus
) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    first = finetune(text, short, corpus, tmp_path / "first").encoder
    again = text.model_copy(update={"model": str(first)})
    said = talks(0, 0).train.utterances
    marks = {mark(one.id, one.text) for one in (*SAID, *said)}
    second = finetune(again, short, talks(0, 0), tmp_path / "second").encoder
    assert read_learned(second) == marks
    write_learned(second, ((one.id, one.text) for one in said))  # as earlier versions did
    finetune(again, short, talks(0, 0), tmp_path / "second", progress=killer(1))
    assert read_learned(second) == marks
    (first / LEARNED).unlink()
    with pytest.raises(ExtractionError, match=r"names what it learned from, found one .* has no learned_from\.json"):
        finetune(again, short, corpus, tmp_path / "third")


def test_nothing_to_learn_from(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    empty = replace(corpus, valid=LabelledTexts.of([Utterance("u", ""), Utterance("v", "unlabelled")], [1, -1]))
    with pytest.raises(ExtractionError, match="validation utterances, found none"):
        finetune(text, SETTINGS, empty, tmp_path)


@pytest.mark.slow
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
    labelled = LabelledTexts.of([Utterance("u", "w")] * 10, [0] * 6 + [1] * 3 + [3])
    torch.testing.assert_close(class_weights(labelled, 4), torch.tensor([10 / 18, 10 / 9, 0.0, 10 / 3]))


@pytest.mark.parametrize(
    ("context", "following", "pooling"), [(0, 0, "mean"), (2, 0, "cls"), (2, 1, "mean"), (9, 9, "mean")]
)
def test_the_classifier_reads_the_very_vector_that_the_extractor_stores(
    text: TextSettings, context: int, following: int, pooling: str
) -> None:
    settings = text.model_copy(update={"context": context, "following": following, "pooling": pooling})
    said = dialogue(0, context, following) if context else list(SAID)
    encoder, tokenizer = load(locate(settings.model, None), torch.float32)
    network = Classifier(encoder, 3, settings, 0.0, None).eval()
    network.classes = torch.nn.Identity()
    rows = rows_of(tokenizer, LabelledTexts.of(said, range(6)), 256)
    batch = Collator(tokenizer.pad_token_id)(rows)
    with torch.no_grad():
        vectors = network(**batch)["logits"]
    found = {int(label): vector for label, vector in zip(batch["labels"].flatten(), vectors.flatten(0, 1), strict=True)}
    assert set(found) - {NO_CLASS} == set(range(6))
    for number, outcome in enumerate(TextExtractor(settings).extract(said)):
        torch.testing.assert_close(found[number], torch.from_numpy(outcome.vector), atol=1e-5, rtol=0)  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_context_teaches_what_the_words_alone_do_not_say(tmp_path: Path, text: TextSettings) -> None:
    """Everybody answers "Okay."; the class is what was said before."""
    asked = [Context("A", (Line("B", SENTENCES[number % 3]),)) for number in range(48)]
    labels = [number % 3 for number in range(48)]
    settings = SETTINGS.model_copy(update={"epochs": 8, "patience": 8})
    found = {}
    for name, contexts in (("within", asked), ("alone", [None] * 48)):
        answers = LabelledTexts.of([Utterance("u", "Okay.", context=context) for context in contexts], labels)
        reading = text.model_copy(update={"context": 1 if name == "within" else 0})
        found[name] = finetune(reading, settings, LabelledCorpus(("a", "b", "c"), answers, answers), tmp_path / name)
    assert found["within"].weighted_f1[0] == 1
    assert found["alone"].weighted_f1[0] < 0.4  # one class for all: 1/6


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 0), (9, 9)])
def test_a_kill_changes_nothing_with_passages_either(
    tmp_path: Path, text: TextSettings, before: int, after: int
) -> None:
    """Also where a whole dialogue is one passage."""
    corpus, text = talks(before, after), text.model_copy(update={"context": before, "following": after})
    whole = finetune(text, SETTINGS, corpus, tmp_path / "whole")
    for step in (7, 5):
        with pytest.raises(Killed):
            finetune(text, SETTINGS, corpus, tmp_path / "killed", progress=killer(step))
    assert finetune(text, SETTINGS, corpus, tmp_path / "killed").weighted_f1 == whole.weighted_f1
    one, other = (load_file(tmp_path / name / "encoder" / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_progress_sums_up_to_the_total(tmp_path: Path, text: TextSettings) -> None:
    done: list[int] = []
    corpus = talks(9, 9)
    still = SETTINGS.model_copy(update={"epochs": 2, "patience": 2})
    finetune(text.model_copy(update={"context": 9, "following": 9}), still, corpus, tmp_path, progress=done.append)
    assert sum(done) == total(still, corpus) == 2 * 48


@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_layers_stay_as_they_are(
    tmp_path: Path, text: TextSettings, corpus: LabelledCorpus, checkpointing: bool
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1, "frozen_layers": 3, "gradient_checkpointing": checkpointing})
    found = finetune(text, settings, corpus, tmp_path)
    before = {
        name.removeprefix("roberta."): value
        for name, value in load_file(Path(text.model) / "model.safetensors").items()
        if name.startswith("roberta.")
    }
    after = load_file(found.encoder / "model.safetensors")
    moved = {name for name in before if name in after and not torch.equal(before[name], after[name])}
    layers = {int(name.split(".")[2]) for name in moved}
    assert layers == {3, 4}
    assert all(name.startswith("encoder.layer.") for name in moved)


def test_more_frozen_layers_than_there_are(tmp_path: Path, text: TextSettings, corpus: LabelledCorpus) -> None:
    settings = SETTINGS.model_copy(update={"frozen_layers": 6})
    with pytest.raises(ExtractionError, match="frozen_layers 6: expected an encoder of as many layers, found 5"):
        finetune(text, settings, corpus, tmp_path)


def test_weighted_f1_by_hand_leaves_padding_out() -> None:
    """Two of three right: class 0 has F1 2/3 twice over, class 1 2/3 once."""

    class Predicted:
        label_ids = np.array([[0, 0], [1, NO_CLASS]])
        predictions = np.array([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [5.0, 0.0]]])

    assert weighted_f1(Predicted) == {"weighted_f1": pytest.approx(2 / 3)}


def test_equal_utterances_are_rows_of_their_own_and_a_dialogue_is_one(text: TextSettings) -> None:
    tokenizer = load(locate(text.model, None), torch.float32)[1]
    yeah = LabelledTexts.of([Utterance("u", "Okay."), Utterance("v", "What?"), Utterance("w", "Okay.")], [0, 1, 2])
    assert [row["labels"] for row in rows_of(tokenizer, yeah, 256)] == [[0], [2], [1]]
    twice = LabelledTexts.of([*dialogue(0, 9, 9), *dialogue(0, 9, 9)], [*range(12)])
    rows = rows_of(tokenizer, twice, 256)
    assert [row["labels"] for row in rows] == [[*range(6)], [*range(6, 12)]]
    assert rows[0]["spans"] == rows[1]["spans"]


def test_each_layer_learns_slower_than_the_one_above_it(text: TextSettings) -> None:
    """Five layers, half the rate each; what lies below them as a sixth would have it; two are frozen."""
    settings = SETTINGS.model_copy(update={"learning_rate": 0.64, "layer_decay": 0.5, "classes_rate": 10.0})
    encoder = load(locate(text.model, None), torch.float32)[0]
    network = Classifier(encoder, 3, text, 0.0, None)
    found = {name: rates(network, settings)[weight] for name, weight in network.named_parameters()}
    assert {found["classes.weight"], found["classes.bias"]} == {6.4}
    assert found["encoder.embeddings.word_embeddings.weight"] == pytest.approx(0.02)
    for layer, rate in enumerate((0.04, 0.08, 0.16, 0.32, 0.64)):
        own = {value for name, value in found.items() if name.startswith(f"encoder.encoder.layer.{layer}.")}
        assert min(own) == max(own) == pytest.approx(rate)
    encoder.requires_grad_(False)
    encoder.encoder.layer[2:].requires_grad_(True)
    assert min(rates(network, settings).values()) == pytest.approx(0.16)
    assert len(set(rates(network, SETTINGS).values())) == 1
