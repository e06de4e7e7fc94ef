"""An encoder that learned from tested dialogues is refused, whatever it is called and wherever it was copied to."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bigfusion.extractors.text.finetuning.learned import LEARNED, RECORD, mark, renamed_marks, write_learned
from bigfusion.flows.project import corpus
from bigfusion.flows.project.leaks import leaks, require_no_folds
from bigfusion.flows.project.load import load
from bigfusion.pipeline.errors import ExtractionError, SettingsError
from bigfusion.pipeline.manifest.manifest import Manifest
from tests.helpers.tiny_encoder import save_roberta


@pytest.fixture
def encoder(tmp_path):
    return save_roberta(tmp_path / "tuned" / "encoder")


def said(manifest: Manifest, split: str) -> list[tuple[str, str]]:
    rows = manifest.table[manifest.table["split"] == split]
    return list(zip(rows["utterance"], rows["text"], strict=True))


def found(place, encoder, every=False, table="text", *more):
    project = load(place.config, assignments=[f"{table}.model={json.dumps(str(encoder))}", *more])
    return leaks(project, corpus.kept(project), every)


@pytest.mark.parametrize("kind", ["encoder", "transformer"])
def test_every_kind_of_text_encoder_that_a_training_reads_is_looked_at(place, encoder, kind, monkeypatch):
    manifest = corpus.kept(load(place.config))
    write_learned(encoder, said(manifest, "test")[:2])
    more = [f'text.tuned.kind="{kind}"', 'model.features=["tuned", "opensmile"]']
    (line,) = found(place, encoder, False, "text.tuned", *more)
    assert line.startswith(f"text.tuned.model {str(encoder)!r}: expected an encoder that never saw the tested dial")
    assert "fine-tuned on 2 of" in line
    assert found(place, encoder, False, "text.tuned", more[0], 'model.features=["opensmile"]') == []
    package = encoder.parent / "tuned_package"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(encoder, package / "model")
    monkeypatch.syspath_prepend(str(encoder.parent))
    (line,) = found(place, "package:tuned_package/model", False, "text.tuned", *more)
    assert line.startswith("text.tuned.model 'package:tuned_package/model': ")


def test_an_encoder_that_learned_from_test_utterances_stops_the_run(place, encoder):
    manifest = corpus.kept(load(place.config))
    write_learned(encoder, [*said(manifest, "train"), *said(manifest, "valid")])
    assert found(place, encoder) == []
    write_learned(encoder, said(manifest, "test")[:2])
    (line,) = found(place, encoder)
    assert f"fine-tuned on 2 of the {len(said(manifest, 'test'))} utterances that are tested here" in line
    model = f"text.model={json.dumps(str(encoder))}"
    assert place.run("run", "--set", model) == 1
    assert line in place.capsys.readouterr().err
    assert place.run("plan", "--set", model) == 2
    assert line in place.capsys.readouterr().out


def test_an_encoder_that_learned_from_test_utterances_is_not_fine_tuned_further(place, encoder, tmp_path):
    write_learned(encoder, said(corpus.kept(load(place.config)), "test")[:2])
    arguments = ("--set", f"text.model={json.dumps(str(encoder))}", "--out", str(tmp_path / "again"))
    assert place.run("finetune-text", *arguments, "--set", "finetune.device=cpu") == 1
    assert "finetune-text: text.model" in (shown := place.capsys.readouterr().err)
    assert "expected an encoder that never saw the tested dialogues, found one that was fine-tuned on 2 of" in shown
    assert "; take the encoder that it began with, and delete encoders that were fine-tuned from it" in shown
    assert not (tmp_path / "again").exists()


def test_in_a_cross_validation_every_utterance_is_tested(place, encoder):
    manifest = corpus.kept(load(place.config))
    write_learned(encoder, said(manifest, "train"))
    assert found(place, encoder) == []
    (line,) = found(place, encoder, every=True)
    assert f"{len(said(manifest, 'train'))} of the {len(manifest)} utterances" in line
    model = ("--set", f"text.model={json.dumps(str(encoder))}")
    assert place.run("extract", *model) == 0
    assert place.run("reproduce", "--table", "2", "--scheme", "sessions", "--rows", "logistic", *model) == 1
    assert "expected an encoder that never saw the tested dialogues" in place.capsys.readouterr().err


@pytest.fixture
def renamed(place, monkeypatch):
    """The project's manifest, and a function that gives every dialogue another name, with changed columns."""
    manifest = corpus.kept(load(place.config))

    def rename(**changes):
        other = {name: f"day2/{name}" for name in manifest.table["dialogue"]}
        table = manifest.table.assign(
            dialogue=manifest.table["dialogue"].map(other), utterance="day2/" + manifest.table["utterance"], **changes
        )
        monkeypatch.setattr(corpus, "kept", lambda project: replace(manifest, table=table, verified=None))

    return manifest, rename


NO_MEDIA = {"audio_sha256": "", "visual_sha256": ""}


@pytest.mark.parametrize("changes", [{}, NO_MEDIA], ids=["media", "words"])
def test_what_was_learned_is_known_under_another_name(place, encoder, renamed, changes):
    """By its media, or by the words of the whole dialogue of several utterances if they are eight at least."""
    manifest, rename = renamed
    rows = manifest.table[manifest.table["split"] == "test"].assign(**changes)
    write_learned(encoder, said(manifest, "test"), frozenset().union(*renamed_marks(rows)))
    rename(**changes)
    (line,) = found(place, encoder)
    words = rows.groupby("dialogue")["text"].agg(lambda texts: len(" ".join(texts).split()))
    known = (rows["dialogue"].map(words) >= 8) & rows["dialogue"].duplicated(keep=False)
    seen = (known | (rows[["audio_sha256", "visual_sha256"]] != "").any(axis=1)).sum()
    assert 0 < known.sum() <= seen
    assert f"fine-tuned on {seen} of the {len(rows)} utterances" in line
    write_learned(encoder, said(manifest, "train"))
    assert found(place, encoder) == []


def test_an_encoder_of_an_earlier_version_says_ids_and_words_alone(place, encoder, renamed):
    manifest, rename = renamed
    (encoder / LEARNED).write_text(json.dumps({"utterances": [mark(*one) for one in said(manifest, "test")]}))
    assert len(found(place, encoder)) == 1
    rename()
    assert found(place, encoder) == []


def test_words_that_are_taught_and_tested_are_no_trace_of_a_renaming(place, encoder):
    """Many corpora let many people say the same dialogues."""
    manifest = corpus.kept(load(place.config))
    rows = manifest.table.groupby("split").head(2)
    rows = rows.assign(**NO_MEDIA, dialogue=rows["split"], turn=0)

    def saying(*splits):
        text = rows["text"].mask(rows["split"].isin(splits), "a sentence that everybody here reads aloud")
        return SimpleNamespace(table=rows.assign(text=text))

    tested = saying("test").table.loc[rows["split"] == "test"]
    write_learned(encoder, [], frozenset().union(*renamed_marks(tested)))
    project = load(place.config, assignments=[f"text.model={json.dumps(str(encoder))}"])
    (line,) = leaks(project, saying("test"))
    assert f"fine-tuned on {len(tested)} of the {len(tested)} utterances" in line
    assert leaks(project, saying("train", "test")) == []
    assert len(leaks(project, saying("train", "test"), every=True)) == 1


def test_the_marks_that_outlast_a_renaming():
    sentence = "The one long sentence that every speaker of this corpus reads aloud"
    rows = pd.DataFrame({"dialogue": ["a", "b", "c", "c"], "turn": [0, 0, 1, 0], "text": [sentence] * 3 + ["yes"]})
    rows = rows.assign(audio_sha256=["1", "2", "", ""], audio_start=[np.nan, 0.5, np.nan, np.nan], audio_end=np.nan)
    rows = rows.assign(visual_sha256="", visual_start=np.nan, visual_end=np.nan)
    a, b, second, first = renamed_marks(rows)
    assert len(a) == len(b) == 1 and a != b, "the same words of two media"
    assert second == first and len(first) == 1
    assert renamed_marks(rows.iloc[[3, 2]].assign(dialogue="other", turn=[5, 9])) == [first, first]
    assert renamed_marks(rows.iloc[[2, 3]].assign(turn=[0, 1])) != [first, first], "in another order"
    assert renamed_marks(rows.iloc[2:].assign(text="so few words")) == [frozenset()] * 2
    assert len(renamed_marks(rows.iloc[2:].assign(text=["你为什么总是这样", "我没有别的意思"]))[0]) == 1
    assert renamed_marks(rows.iloc[2:].assign(text="好吧。")) == [frozenset()] * 2


def test_another_speaker_of_the_same_sentence_is_no_trace_of_a_renaming(place, encoder):
    """Acted corpora let every speaker read the same few sentences, each a dialogue of one utterance."""
    manifest = corpus.kept(load(place.config))
    table = manifest.table
    rows = table.assign(
        dialogue=table["utterance"], turn=0, text="The sentence that every speaker of this corpus reads aloud",
        audio_sha256=table["utterance"], visual_sha256="",
    )  # fmt: skip
    tested = rows["split"] == "test"
    others = rows[tested].assign(audio_sha256="of " + rows["utterance"])
    project = load(place.config, assignments=[f"text.model={json.dumps(str(encoder))}"])
    for learned, lines in ((others, 0), (rows[tested], 1)):
        write_learned(encoder, [], frozenset().union(*renamed_marks(learned)))
        assert len(leaks(project, SimpleNamespace(table=rows[tested]))) == lines


def test_other_words_under_the_same_ids_are_another_corpus(place, encoder):
    manifest = corpus.kept(load(place.config))
    write_learned(encoder, [(utterance, f"{text} no") for utterance, text in said(manifest, "test")])
    assert found(place, encoder) == []


def test_an_encoder_that_does_not_say_what_it_learned_from_is_no_encoder_for_folds(place, encoder):
    assert found(place, encoder, every=True) == []
    (encoder.parent / RECORD).write_text("{}")
    assert found(place, encoder) == []
    (line,) = found(place, encoder, every=True)
    assert "fine-tuned on dialogues it does not name" in line
    copied = shutil.copytree(encoder, encoder.parent.parent / "copied")
    (copied / LEARNED).write_text("[]")
    with pytest.raises(ExtractionError, match="copy the whole encoder folder again"):
        found(place, copied)


def test_fine_tuning_for_a_cross_validation_is_refused(place):
    manifest = corpus.kept(load(place.config))
    require_no_folds(manifest)
    folds = manifest.table.assign(fold=manifest.table["dialogue"])
    with pytest.raises(SettingsError, match=r"finetune-text: expected one training split, found corpus\.folds"):
        require_no_folds(replace(manifest, table=folds, verified=None))
