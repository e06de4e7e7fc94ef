"""bigfusion: from raw conversations to an honestly scored emotion model.

Eight names are enough to use it from Python. Each is loaded when it is first used (PEP 562), so ``import bigfusion``
alone imports neither torch nor pandas nor Prefect.

=================== ======================================================================================
``load``            load a trained model: a run, a project's current model, or a published one
``extract``         compute the features of any recordings, without a project
``load_project``    read a project's settings file: :func:`bigfusion.flows.project.load.load_project`
``retrain``         ingest, extract, train, evaluate, as ``bigfusion run`` does: the Prefect flow ``retrain``
``read_features``   read a feature file: Parquet, or one of the field's pickles
``load_learning``   read the settings of the network and its training, without a project
``train``           train on a feature file into a folder
``evaluate``        score such a run on a feature file
=================== ======================================================================================

A new recording, with the model of a project or of a run. Its subtitles lie beside it, or are named:

>>> import bigfusion
>>> model = bigfusion.load("my-project")
>>> table = model.predict("talk.wav", "talk.srt")
>>> table["speaker"].tolist(), table["text"][1]
(['Anna', 'Ben', 'Anna'], "No, no! He's totally lost it.")
>>> [*table.columns[:7]], model.labels
(['recording', 'start', 'end', 'speaker', 'text', 'label', 'confidence'], ('anger', 'joy'))

Features alone, of recordings that belong to no project (without a transcript: a row a file):

>>> features = bigfusion.extract(["talk.wav"], modalities=["audio"], workspace="features")
>>> features.features["audio"].shape, features.manifest.table["speaker"].tolist()
((3, 1582), ['Anna', 'Ben', 'Anna'])

A project, as ``bigfusion init my-meld --preset meld`` makes it:

>>> project = bigfusion.load_project("my-meld/bigfusion.toml", assignments=["train.seeds=[0, 1]"])
>>> project.text.model, project.train.seeds
('FacebookAI/roberta-large', (0, 1))

``bigfusion.retrain(project)`` then does what has changed since the last time, and returns the run's id.

Feature files, without a project:

>>> from pathlib import Path
>>> features = bigfusion.read_features(Path("train.parquet"))
>>> {modality.value: values.shape for modality, values in features.features.items()}
{'text': (120, 6), 'audio': (120, 3)}
>>> learning = bigfusion.load_learning(None, "paper", ["train.seeds=[0, 1]", "train.epochs=2", "model.width=16"])
>>> bigfusion.train(Path("train.parquet"), Path("run"), learning)
[0, 1]
>>> scored = bigfusion.evaluate(Path("test.parquet"), Path("run"))
>>> scored.seen, 0 <= scored.metrics.weighted_f1 <= 1
(0, True)

Errors that a user can do something about are :class:`bigfusion.pipeline.errors.BigFusionError`.

The rooms lie at the top of the repository (``pipeline/``, ``extractors/``, ``model/``, ``flows/``) and are reached from
here by links, so that what is installed has one name: ``bigfusion.pipeline``, ``bigfusion.model`` and so on.
"""

# Names, not import statements: nothing is imported until it is used. Their types stand in __init__.pyi.
_HOMES = {
    "evaluate": "bigfusion.flows.project.file_runs",
    "extract": "bigfusion.flows.project.extracting",
    "load": "bigfusion.flows.project.find_model",
    "load_learning": "bigfusion.flows.project.load",
    "load_project": "bigfusion.flows.project.load",
    "read_features": "bigfusion.pipeline.feature_files.reader",
    "retrain": "bigfusion.flows.stages.retrain",
    "train": "bigfusion.flows.project.file_runs",
}

__all__ = ["evaluate", "extract", "load", "load_learning", "load_project", "read_features", "retrain", "train"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
