"""What the command line does around the extractors: the quarantine, fine-tuning, and the weights that are shipped."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from bigfusion.extractors.files import FACE_WEIGHTS
from bigfusion.extractors.text.finetuning.learned import mark, read_learned
from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.failed_cells import REMEDIES, failed_cells
from bigfusion.flows.project.labelled_texts import dialogues, labelled_corpus, texts
from bigfusion.flows.project.load import load
from bigfusion.pipeline.demo.build import EXPECTED
from bigfusion.pipeline.schema import Modality, Status, Utterance, Window

FERPLUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "ferplus"


def test_every_failure_has_a_remedy():
    assert set(REMEDIES) == set(Status) - {Status.OK}


def test_the_quarantine_lists_what_was_spoilt(place):
    assert place.run("quarantine", "--json") == 0
    answer = json.loads(place.capsys.readouterr().out)
    found = {row["utterance"]: row["status"] for row in answer["cells"]}
    assert found == {name: status.value for name, status in EXPECTED.items()}
    page = Path(answer["page"]).read_text()
    with Path(answer["csv"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == answer["cells"]
    for row in rows:
        assert row["utterance"] in page
        assert row["remedy"]
        if row["status"] == "corrupt_media":
            assert Path(row["file"]).is_file()
        if row["status"] == "missing_media":
            assert row["file"].endswith("/MELD.Raw/train_splits/dia0_utt5.mp4")
            assert not Path(row["file"]).exists()


def test_a_healthy_corpus_has_an_empty_quarantine(place):
    project = load(place.config, assignments=['model.modalities=["text"]'])
    assert failed_cells(project) == []
    assert place.run("quarantine", "--set", 'model.modalities=["text"]') == 0
    assert "0 failed cells" in place.capsys.readouterr().out


def test_a_fine_tuned_encoder_takes_the_plain_ones_place(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not the settings file's folder
    arguments = ("--set", "finetune.epochs=1", "--set", "finetune.threads=1", "--set", "finetune.device=cpu")
    arguments += ("--out", "tuned")
    assert place.run("finetune-text", "--json", *arguments) == 0
    answer = json.loads(place.capsys.readouterr().out)
    assert 0 <= answer["weighted_f1"]["0"] <= 1
    again = place.run("finetune-text", "--json", *arguments)
    assert (again, json.loads(place.capsys.readouterr().out)) == (0, answer)
    assert place.run("finetune-text", *arguments) == 0
    assert f'text.model = "{tmp_path}/tuned/encoder"' in place.capsys.readouterr().out
    tuned = load(place.config, assignments=[f"text.model={json.dumps(answer['encoder'])}"])
    assert tuned.text.model == str(tmp_path / "tuned/encoder")
    learned = read_learned(tmp_path / "tuned/encoder")
    labelled = labelled_corpus(tuned, corpus.kept(tuned))
    said = {mark(one.id, one.text) for one in (*labelled.train.utterances, *labelled.valid.utterances)}
    assert learned == said | labelled.renamed
    assert labelled.renamed and not said & labelled.renamed
    plan = cells.plan(tuned, corpus.kept(tuned))
    assert len(plan.pending(Modality.TEXT)) == len(plan.manifest)  # the weights' digest is part of the fingerprint
    extractor = cells.extractor(tuned, Modality.TEXT)
    (outcome,) = extractor.extract([Utterance("u", "Well, this is fine.")])
    assert outcome.vector.shape == (384,)


def test_fine_tuning_never_reads_the_test_dialogues(place):
    project = load(place.config)
    manifest = corpus.kept(project)
    used = [one for part in dialogues(project, manifest) for one in texts(manifest, part, Window(2, 2))[0]]
    read = {line for one in used for line in (*one.context.before, *one.context.after)}
    test = manifest.table.loc[manifest.table["split"] == "test", "dialogue"]
    assert not set(test) & set.union(*dialogues(project, manifest))
    assert len(used) == len(manifest) - len(test)
    assert {line.text for line in read} <= {one.text for one in used}


def test_a_folder_that_is_not_ferplus_is_one_line(tmp_path, capsys):
    assert cli.main(["evaluate-faces", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", ["train-faces", "evaluate-faces"])
def test_options_that_the_face_network_has_no_use_for(tmp_path, capsys, command):
    others = [("--set", "batch_size=3")] if command == "evaluate-faces" else []
    for option in [("--config", "bigfusion.toml"), ("--preset", "meld"), *others]:
        assert cli.main([command, "--data", str(tmp_path), *option]) == 1
        assert f"{command}: {option[0]} has no effect here" in capsys.readouterr().err


def test_an_unknown_setting_of_the_face_training(tmp_path, capsys):
    assert cli.main(["train-faces", "--data", str(tmp_path), "--set", "epochs=3"]) == 1
    assert "unknown key epochs" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not here")
def test_the_shipped_weights_pass_the_bar(tmp_path, capsys):
    """Better than the VGG13 of FER+'s paper on the test split's majority labels. Of the other faces few are scored."""
    for path in FERPLUS.glob("*.jxl"):
        (tmp_path / path.name).symlink_to(path)
    index = pd.read_csv(FERPLUS / "index.csv")
    index.loc[index.index[index["split"] == "valid"][50:], "split"] = "train"
    index.to_csv(tmp_path / "index.csv", index=False)
    assert cli.main(["evaluate-faces", "--data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == str(FACE_WEIGHTS)
    assert found["test_faces"] == 3153
    assert found["test_accuracy"] >= 0.8499
    counted = pd.DataFrame(found["confusion"]).to_numpy()
    assert counted.sum() == 3153
