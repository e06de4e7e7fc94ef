"""What a run lacks is said before its first cell: all of it at once, a line each."""

import importlib
import json
import shlex
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bigfusion.extractors.checkpoints import Checkpoint
from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus, standing
from bigfusion.flows.project.load import load
from bigfusion.flows.project.preflight import PreflightError, _hopeless, _to_download, preflight
from bigfusion.flows.project.rates import RATES
from bigfusion.flows.stages.train import train_run
from bigfusion.pipeline.corpora import scan
from bigfusion.pipeline.errors import ExtractionError, TrainingError
from bigfusion.pipeline.schema import FeatureName, Modality
from tests.helpers.command_line import fails
from tests.helpers.hub_server import hub_server
from tests.helpers.meld_tree import write_meld
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_speech import save_speech


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and a hub's address at which nobody answers."""
    from huggingface_hub import constants

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", f"http://127.0.0.1:{port}")


def write_project(folder: Path, model: str, media: bool, modalities: str) -> Path:
    write_meld(folder / "MELD.Raw", media=media)
    config = folder / "bigfusion.toml"
    config.write_text(
        f'[corpus]\nkind = "meld"\nroot = "MELD.Raw"\n[text]\nmodel = "{model}"\n[model]\nmodalities = {modalities}\n'
    )
    return config


def write_table_project(folder: Path, labels: Sequence[object], corpus: str = "", model: str = "") -> Path:
    """Sixteen utterances of text in eight dialogues, a small encoder, and one epoch."""
    data = pd.DataFrame({"dialogue": [f"d{row // 2}" for row in range(16)], "turn": [0, 1] * 8, "speaker": "A"})
    data.assign(text="Yes.", media="", label=labels).to_csv(folder / "t.csv", index=False)
    encoder = save_roberta(folder / "encoder", layers=1)
    config = folder / "bigfusion.toml"
    config.write_text(
        f'[corpus]\nkind = "table"\npath = "t.csv"\n{corpus}\n[text]\nmodel = "{encoder}"\n'
        f'[model]\nmodalities = ["text"]\n{model}\n[train]\nepochs = 1\nseeds = [0]\n'
    )
    return config


@pytest.mark.usefixtures("no_hub")
def test_without_a_hub_run_says_so_at_once_and_computes_no_cell(tmp_path, capfd):
    config = write_project(tmp_path, "nobody/no-roberta", True, '["text", "audio"]')
    assert cli.main(["run", "--config", str(config)]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("bigfusion: ")] == lines[-1:]
    assert "text.model 'nobody/no-roberta': expected it in the hub's cache or on the hub" in lines[-1]
    assert not any("retry" in line.lower() for line in lines)
    assert not list((tmp_path / "work").rglob("*.parquet"))


@pytest.mark.usefixtures("no_hub")
def test_all_that_is_missing_is_said_at_once_a_line_each(tmp_path, capsys):
    config = write_project(tmp_path, "nobody/no-roberta", False, '["text", "audio"]')
    assert cli.main(["run", "--config", str(config)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bigfusion: ")]
    assert len(lines) == 2
    assert "expected files for audio, found none" in lines[0]
    assert "--set 'model.modalities=[\"text\"]'" in lines[0]
    assert "nobody/no-roberta" in lines[1]


CLASSES_ONLY = {
    "a network": ("model.kind=dag_erc", 'model.kind = "dag_erc": exists for classes only'),
    "a setting": ("train.smoothing=0.1", "train.smoothing: exists for classes only"),
    "folds": ("corpus.folds=2", "corpus.folds: exists for classes only"),
}


@pytest.mark.parametrize(("assignment", "said"), CLASSES_ONLY.values(), ids=CLASSES_ONLY)
def test_what_cannot_learn_numbers_is_refused_before_a_cell_is_computed_or_a_run_is_made(
    tmp_path, capsys, assignment, said
):
    config = write_table_project(tmp_path, np.linspace(-1, 1, 16), corpus='task = "regression"')
    asked = ("--config", str(config), "--set", assignment)
    assert said in fails(capsys, "run", *asked)
    assert not list((tmp_path / "work").rglob("*.parquet")), "no cell"
    assert cli.main(["plan", *asked]) == 2
    assert f"a run would stop: {said}" in capsys.readouterr().out
    assert cli.main(["ingest", *asked]) == cli.main(["extract", *asked]) == 0
    assert said in fails(capsys, "run", *asked)
    assert said in fails(capsys, "train", *asked, "--name", "mine")
    assert not list((tmp_path / "work").glob("runs/*"))
    assert cli.main(["models", "--json", *asked]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == []


def test_the_command_that_unpacks_a_packed_archive_can_be_pasted(tmp_path):
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    config = write_project(tmp_path / "my proj", str(encoder), False, '["text", "visual"]')
    archive = tmp_path / "my proj/MELD.Raw/train.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(encoder / "config.json", "train_splits/dia0_utt0.mp4")
    project = load(config)
    (line,) = preflight(project, standing.look(project).plan).stops
    command = shlex.split(line.partition("unpack: ")[2])
    assert command == ["tar", "-xf", str(archive), "-C", str(archive.parent)]
    with tarfile.open(archive) as file:
        file.extractall(archive.parent, filter="data")
    found = preflight(project, standing.look(project).plan)
    assert found.stops == found.warnings == ()


def test_a_disk_that_cannot_take_the_shards_is_warned_of_and_one_that_can_is_not(tmp_path):
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    project = load(write_project(tmp_path, str(encoder), True, '["text", "audio"]'))
    plan = standing.look(project).plan
    pending = {modality: len(part.pending) for modality, part in plan.parts.items()}
    needed = sum((RATES[modality].bytes + 252) * number for modality, number in pending.items())
    assert set(pending) == {Modality.TEXT, Modality.AUDIO}
    assert preflight(project, plan, free=lambda folder: round(needed)).warnings == ()
    (line,) = preflight(project, plan, free=lambda folder: round(needed) - 1).warnings
    assert line.startswith(f"{project.store}: expected room for about ")
    assert line.endswith("set workspace.store to another disk")


@pytest.mark.parametrize(("ending", "hopeless"), [("wav", True), ("opus", True), ("ogg", False), ("mp4", False)])
def test_only_files_that_hold_sound_alone_have_no_face(ending, hopeless):
    """An .ogg may hold Theora's pictures."""
    table = pd.DataFrame({"visual_sha256": ["a"], "visual_path": [f"clip.{ending}"]})
    planned = SimpleNamespace(manifest=SimpleNamespace(table=table), counts=lambda: {Modality.VISUAL: {"done": 0}})
    assert _hopeless(planned, FeatureName(Modality.VISUAL)) is hopeless  # type: ignore[arg-type]


def test_plan_estimates_from_the_rates_what_was_never_recorded(tmp_path, capsys):
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    config = write_project(tmp_path, str(encoder), True, '["text", "audio"]')
    assert cli.main(["plan", "--config", str(config)]) == 2
    shown = capsys.readouterr().out
    assert "first estimate" in shown
    assert "a run would stop" not in shown


def test_classes_that_a_network_cannot_learn_stop_a_run_before_its_first_cell_and_nothing_else(tmp_path, capsys):
    """`status`, `plan` and `extract` ended in the line that only a training needs."""
    config = write_table_project(tmp_path, ["calm", "loud"] * 8, model='kind = "graphsmile"')
    asked, said = ("--config", str(config)), "label loud: expected an emotion whose sentiment is known"
    assert said in fails(capsys, "run", *asked)
    assert not list((tmp_path / "work").rglob("*.parquet")), "no cell"
    assert cli.main(["plan", *asked]) == 2
    assert f"a run would stop: {said}" in capsys.readouterr().out
    assert cli.main(["extract", *asked]) == cli.main(["status", *asked]) == 0
    assert said in fails(capsys, "train", *asked)
    with pytest.raises(TrainingError, match="label loud"):  # a deployed flow looks for nothing beforehand
        train_run(load(config), standing.load(load(config)))
    assert not list((tmp_path / "work").glob("runs/*"))


def test_a_network_that_processes_cannot_share_stops_a_run_before_its_first_cell(tmp_path, capsys):
    config = write_table_project(tmp_path, ["calm", "loud"] * 8, model='kind = "cogmen"')
    said = 'train.processes: expected 1 for model.kind = "cogmen"'
    assert said in fails(capsys, "run", "--config", str(config), "--set", "train.processes=2")
    assert not list((tmp_path / "work").rglob("*.parquet")), "no cell"
    assert cli.main(["plan", "--config", str(config)]) == 2
    assert "would stop" not in capsys.readouterr().out


@pytest.mark.usefixtures("no_hub")
def test_plan_says_what_would_stop_a_run(tmp_path, capsys):
    config = write_project(tmp_path, "nobody/no-roberta", True, '["text", "audio"]')
    assert cli.main(["plan", "--config", str(config)]) == 2
    assert "a run would stop: text.model 'nobody/no-roberta'" in capsys.readouterr().out


@pytest.mark.usefixtures("no_hub")
def test_every_named_extractors_model_is_looked_for_before_a_run(tmp_path, capsys):
    """Those that are here are said to be; each that cannot be had is a line with its setting and the remedy."""
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    speech = save_speech(tmp_path / "speech", "wavlm")
    config = write_project(tmp_path, str(encoder), True, '["text", "audio", "visual"]')
    config.write_text(
        config.read_text()
        + 'features = ["text", "here", "away", "clip"]\n'
        + f'[audio.here]\nkind = "transformer"\nmodel = "{speech}"\n'
        + '[audio.away]\nkind = "transformer"\nmodel = "nobody/wavlm"\n'
        + '[visual.clip]\nkind = "image_encoder"\nmodel = "nobody/clip"\n'
    )
    assert cli.main(["plan", "--config", str(config)]) == 2
    shown = capsys.readouterr().out.splitlines()
    assert f"text.model '{encoder}': on this machine" in shown
    assert f"audio.here.model '{speech}': on this machine" in shown
    for setting in ("audio.away.model 'nobody/wavlm'", "visual.clip.model 'nobody/clip'"):
        (line,) = [line for line in shown if line.startswith(f"a run would stop: {setting}: expected it in the hub's")]
        assert line.endswith(f"set {setting.partition(' ')[0]} to its folder")
    assert cli.main(["run", "--config", str(config)]) == 1
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("bigfusion: ")]) == 2


@pytest.mark.parametrize("place", ["folder", "hub", "cache"])
def test_an_encoder_with_code_of_its_own_stops_a_run_wherever_it_lies(tmp_path, monkeypatch, place):
    """transformers would take its own RoBERTa for it, and nothing would say so."""
    from huggingface_hub import constants, hf_hub_download

    folder = save_roberta(tmp_path / "encoder", layers=1)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"auto_map": {"AutoModel": "own.Own"}}))
    name = str(folder) if place == "folder" else "owner/name"
    with hub_server() as server:
        server.files["owner/name"] = {path.name: path.read_bytes() for path in folder.iterdir()}
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        if place == "cache":
            for file in server.files["owner/name"]:
                hf_hub_download("owner/name", file)
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        project = load(write_project(tmp_path, name, True, '["text", "audio"]'))
        plan = standing.look(project).plan
        (line,) = preflight(project, plan).stops
        assert line.startswith(f"text.model {name!r}: expected a model of transformers' own classes")
        pending = plan.pending(Modality.TEXT)[:1]
        with pytest.raises(ExtractionError, match=r"AutoModel in config\.json"):  # as a worker computes it
            cells.extract_chunk(project, plan.manifest, pending, "run")
        assert place != "hub" or not list((tmp_path / "cache").rglob("snapshots"))


def test_an_encoder_that_the_hubs_cache_may_hold_in_part_stops_a_run(tmp_path, monkeypatch):
    """Without its tokenizer's settings it would read other tokens under the same fingerprint."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "cache/models--owner--name", "0123456789" * 4
    save_roberta(repository / "snapshots" / commit, layers=1)
    (repository / "snapshots" / commit / "tokenizer_config.json").unlink()
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    project = load(write_project(tmp_path, "owner/name", True, '["text", "audio"]'))
    plan = standing.look(project).plan
    (line,) = preflight(project, plan).stops
    assert line.startswith(
        "text.model 'owner/name': expected all files that the hub lists, found a cache that may lack"
    )
    with pytest.raises(ExtractionError, match="found a cache that may lack some"):  # as a worker computes it
        cells.extract_chunk(project, plan.manifest, plan.pending(Modality.TEXT)[:1], "run")


@pytest.mark.parametrize("kind", ["convbert", "mobilebert"])
def test_an_encoder_whose_vectors_depend_on_their_batch_stops_a_run(tmp_path, kind):
    """Each token of MobileBERT is read with its neighbours', and the last one's neighbour is padding or nothing."""
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    said = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(said | {"model_type": kind}))
    project = load(write_project(tmp_path, str(encoder), True, '["text", "audio"]'))
    (line,) = preflight(project, standing.look(project).plan).stops
    assert f"expected an encoder that reads a sentence alike in any batch, found {kind}" in line


@pytest.mark.parametrize(
    ("said", "pooling", "line"),
    [
        ({"model_type": "bart", "is_encoder_decoder": True}, "mean", "an encoder or a decoder, found bart, which is"),
        ({"model_type": "t5"}, "mean", "an encoder or a decoder, found t5, which is both; choose another model"),
        ({"model_type": "xlnet"}, "mean", "an encoder that says how many tokens it reads, found xlnet, which does not"),
        ({"model_type": "gpt2"}, "cls", "an encoder for pooling 'cls', found gpt2, a decoder, whose first token sees"),
        ({"is_decoder": True}, "cls", "an encoder for pooling 'cls', found roberta, a decoder, whose first token"),
        ({"model_type": "gpt2"}, "mean", ""),
        ({}, "cls", ""),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "cls", ""),
    ],
)
def test_a_model_that_is_no_encoder_of_sentences_stops_a_run(tmp_path, said, pooling, line):
    """BART's decoder reads a sentence moved by one token; a decoder's first token is the same in every sentence."""
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    known = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(known | said))
    config = write_project(tmp_path, str(encoder), True, '["text", "audio"]')
    project = load(config, assignments=[f"text.pooling={pooling}"])
    plan = standing.look(project).plan
    stops = preflight(project, plan).stops
    assert [stop.partition(" expected ")[2].startswith(line) for stop in stops] == ([True] if line else [])
    if line:
        with pytest.raises(ExtractionError) as computed:  # as a worker computes it
            cells.extract_chunk(project, plan.manifest, plan.pending(Modality.TEXT)[:1], "run")
        assert stops == (str(computed.value),)


def test_a_decoder_beside_the_encoder_is_not_read_by_its_first_token(tmp_path):
    decoder = save_roberta(tmp_path / "decoder", layers=1)
    said = json.loads((decoder / "config.json").read_text())
    (decoder / "config.json").write_text(json.dumps(said | {"is_decoder": True}))
    config = write_project(tmp_path, str(save_roberta(tmp_path / "encoder", layers=1)), True, '["text"]')
    config.write_text(f'{config.read_text()}[text.d]\nkind = "transformer"\nmodel = "{decoder}"\npooling = "cls"\n')
    project = load(config)
    plan = standing.look(project).plan
    (line,) = preflight(project, plan).stops
    assert line.startswith(f"text.d.model {str(decoder)!r}: expected an encoder for pooling 'cls', found roberta, a")
    with pytest.raises(ExtractionError, match=r"text\.d\.model .* found roberta, a decoder"):
        cells.extract_chunk(project, plan.manifest, plan.pending(FeatureName("text.d"))[:1], "run")
    assert preflight(load(config, assignments=["text.d.pooling=last"]), plan).stops == ()


def test_the_plan_fetches_no_model_of_which_the_cache_may_lack_a_part(tmp_path, monkeypatch):
    """All files that the hub lists lie in the cache, but the cache does not know the list."""
    model = (
        '[text.d]\nkind = "transformer"\nmodel = "owner/sentences"\nrevision = "' + "0" * 40 + '"\npooling = "cls"\n'
    )
    config = write_project(tmp_path, str(save_roberta(tmp_path / "encoder", layers=1)), True, '["text"]')
    config.write_text(config.read_text() + model)
    monkeypatch.setattr("bigfusion.flows.project.preflight.model_bytes", lambda checkpoint, setting: 0)
    monkeypatch.setattr(Checkpoint, "cached", lambda checkpoint: None)
    monkeypatch.setattr(Checkpoint, "fetched", lambda checkpoint: pytest.fail("it was fetched"))
    assert _to_download(load(config), FeatureName("text.d")) == {"text.d.model 'owner/sentences'": 0}


def test_a_named_extractors_folder_that_is_not_there_is_a_line_with_its_table(tmp_path, capsys):
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    config = write_project(tmp_path, str(encoder), True, '["text", "audio"]')
    config.write_text(
        config.read_text() + 'features = ["text", "w"]\n[audio.w]\nkind = "transformer"\nmodel = "./nowhere"\n'
    )
    line = fails(capsys, "plan", "--config", str(config))
    assert "[audio.w] audio model './nowhere': expected a folder" in line


@pytest.mark.parametrize("key", ["train.device", "text.device"])
def test_a_device_that_is_not_there_stops_a_run(tmp_path, key):
    encoder = save_roberta(tmp_path / "encoder", layers=1)
    config = write_project(tmp_path, str(encoder), True, '["text", "audio"]')
    project = load(config, assignments=[f"{key}=cuda:99"])
    (line,) = preflight(project, standing.look(project).plan).stops
    assert line.startswith(f"{key} 'cuda:99': ")


@pytest.mark.usefixtures("no_hub")
def test_finetuning_looks_for_its_encoder_and_device_before_it_scans(tmp_path, capsys):
    config = str(write_project(tmp_path, "nobody/no-roberta", False, '["text"]'))
    assert cli.main(["finetune-text", "--config", config, "--set", "finetune.device=cuda"]) == 1
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2
    assert "nobody/no-roberta" in shown[0]
    assert "finetune.device 'cuda': " in shown[1]


def test_a_study_looks_for_its_device_before_it_reads_its_data(tmp_path, capsys):
    config = str(write_project(tmp_path, "any", False, '["text"]'))
    assert cli.main(["reproduce", "--figure", "4", "--config", config, "--set", "train.device=cuda:99"]) == 1
    assert "train.device 'cuda:99': " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("flow", ["retrain", "extract"])
def test_a_deployed_flow_says_what_it_lacks_before_its_first_cell(tmp_path, flow):
    project = load(write_project(tmp_path, "nobody/no-roberta", True, '["text", "audio"]'))
    corpus.ingest(project)
    module = importlib.import_module(f"bigfusion.flows.stages.{flow}")
    with pytest.raises(PreflightError, match="nobody/no-roberta"):
        getattr(module, flow)(project)
    assert not list(tmp_path.rglob("*.parquet")) or not (project.store / "audio").exists()


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_archives_beside_a_missing_table_are_named_with_the_command_that_unpacks_them(tmp_path, capsys, form):
    """As they are downloaded: everything is still packed, so no CSV is there either."""
    write_meld(tmp_path / "made")
    folder = tmp_path / "my MELD"
    folder.mkdir()
    kind = {"tar": "gztar", "zip": "zip"}[form]
    shutil.make_archive(str(folder / "MELD.Raw"), kind, tmp_path / "made")
    (tmp_path / "bigfusion.toml").write_text(f'[corpus]\nkind = "meld"\nroot = "{folder}"\n')
    line = fails(capsys, "plan", "--config", str(tmp_path / "bigfusion.toml"))
    command = line.partition("unpack: ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    assert scan.check_layout(load(tmp_path / "bigfusion.toml").corpus) is None
