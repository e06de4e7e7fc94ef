"""A project on recordings with transcripts, trained and scored without Prefect: text and sound, two seeds, seconds."""

from pathlib import Path

from bigfusion.flows.project import cells, makers, runs
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.computing import compute
from bigfusion.flows.project.corpus import ingest
from bigfusion.flows.project.load import load
from bigfusion.model.runs.folder import seed_folder
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.training.train import train
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_media import write_clip, write_wav

LABELS = ("anger", "joy")
WORDS = {"anger": "No, no! He's totally lost it.", "joy": "Okay, everything is fine, really!"}
PITCH = {"anger": 440.0, "joy": 220.0}
CONFIG = """
[corpus]
kind = "subtitles"
media = ["recordings"]
name = "recorded"

[text]
model = "encoder"

[model]
kind = "logistic"
modalities = ["text", "audio"]

[train]
seeds = [0, 1]
epochs = 3
"""


def transcript(labels: list[str], seconds: float = 0.6) -> str:
    """A table of cues of ``seconds`` each, one a label."""
    rows = [
        f'{seconds * turn:.2f},{seconds * (turn + 1):.2f},{"AB"[turn % 2]},"{WORDS[label]} {turn}",{label}'
        for turn, label in enumerate(labels)
    ]
    return "\n".join(["start,end,speaker,text,label", *rows]) + "\n"


def make(folder: Path, settings: str = CONFIG) -> Path:
    """Make the project in a folder, with one trained and scored run. Returns its settings file."""
    for number in range(6):
        label = LABELS[number % 2]
        path = folder / "recordings" / f"talk-{number}.wav"
        write_wav(path, 1.3, PITCH[label] + number)
        path.with_suffix(".csv").write_text(transcript([label] * 2))
    save_roberta(folder / "encoder", layers=4)
    config = folder / "bigfusion.toml"
    config.write_text(settings)
    project = load(config)
    planned = cells.plan(project, ingest(project).manifest)
    compute(project, planned, "extract")
    planned = cells.plan(project, planned.manifest)
    run = runs.run_of(project, planned.manifest, planned)
    run.begin(planned)
    makers.record(project, planned, run.folder)
    data = assemble(project, planned.manifest, planned)
    for seed in run.seeds:
        train(data, project.model, project.train, seed, seed_folder(run.folder, seed))
    evaluate(run.folder, data, device="cpu")
    return config


def new_recording(folder: Path, name: str = "new", video: bool = False) -> Path:
    """A recording that the run has not seen, with subtitles beside it."""
    pitch = 300.0 + sum(name.encode()) % 100  # so that two names are two files
    path = write_clip(folder / f"{name}.mp4", 1.9, pitch) if video else write_wav(folder / f"{name}.wav", 1.9, pitch)
    path.with_suffix(".srt").write_text(
        "1\n00:00:00,000 --> 00:00:00,600\nAnna: Okay, everything is fine, really!\n\n"
        "2\n00:00:00,600 --> 00:00:01,200\nBen: No, no! He's totally lost it.\n\n"
        "3\n00:00:01,200 --> 00:00:01,800\nAnna: What?\n"
    )
    return path
