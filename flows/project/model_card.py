"""The model card of a published model: scores, labels, data, features, limits. Its licence is left to the owner."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bigfusion.flows.project.published import Config
from bigfusion.model.network_notes import keeps_texts
from bigfusion.model.network_notes import notes as network_notes
from bigfusion.model.report.wording import points, seeds_of, split_name
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.scoring.trust import measured
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import numbered

LICENCE_NAME = "not-chosen-yet"


def card(config: Config, name: str) -> str:
    """The whole ``README.md``, with the hub's YAML header."""
    return f"---\n{_header(config, name)}\n---\n\n" + "\n".join(_lines(config, name))


def _header(config: Config, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    scores, corpus = config.scores, _corpus(config)
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="emotion recognition in conversation",
            dataset_type=corpus.lower().replace(" ", "-"),
            dataset_name=corpus,
            dataset_split=scores.scored.value,
            metric_type=kind,
            metric_name=title,
            metric_value=round(value, 4),
        )
        for kind, title, value in (
            ("f1", "weighted F1", scores.weighted_f1),
            ("accuracy", "accuracy", scores.accuracy),
            ("f1", "macro F1", scores.macro_f1),
        )
    ]
    data = ModelCardData(
        library_name="bigfusion",
        license="other",
        license_name=LICENCE_NAME,
        tags=["emotion-recognition-in-conversation", "multimodal", config.model_type],
        model_name=name,
        eval_results=results,
    )
    return str(data.to_yaml()).strip()


def _corpus(config: Config) -> str:
    return "a feature file" if config.makers is None else config.makers.corpus


def _lines(config: Config, name: str) -> Iterator[str]:
    scores, labels = config.scores, list(config.id2label.values())
    yield f"# {name}"
    yield ""
    yield f"Emotion recognition in conversations: says of each utterance of a conversation which of {len(labels)}"
    yield f"labels it has: {', '.join(labels)}. Network `{config.model_type}`, {numbered(len(config.seeds), 'seed')},"
    yield f"trained on {_corpus(config)} with bigfusion (`pip install bigfusion`); its answer is the mean of the seeds."
    yield ""
    for note in network_notes(config.seeds[0].model):
        yield f"{note}\n"
    if config.makers is not None:
        yield "```python\nimport bigfusion"
        yield f'model = bigfusion.load("{name}")  # this folder, or its id on the hub'
        yield 'model.predict("talk.mp4", "talk.srt")  # a pandas frame, a row an utterance\n```'
    else:
        yield "It was trained on a feature file: nothing here says how its features are computed for a new recording."
    yield ""
    yield from _scores(scores, config)
    yield from _data(scores, config)
    yield from _features(config)
    yield from _limits(scores, config)
    yield "## Licence"
    yield ""
    yield "To be filled in by the owner of this model, here and in the header (`license`): the terms of the training"
    yield "corpus and of the encoders decide what may be done with it. The code of bigfusion is under the MIT licence."
    yield ""


def _scores(scores: Metrics, config: Config) -> Iterator[str]:
    yield f"## Scores on {_corpus(config)}, {split_name(scores.scored)} split"
    yield ""
    chosen = "No epoch was chosen" if config.seeds[0].model.fitted_at_once else "The epoch was chosen on validation"
    yield f"Means over {seeds_of(scores)}, in points. {chosen}."
    yield ""
    yield "| score | mean | deviation | 95 % interval | most frequent label always |\n|---|---|---|---|---|"
    for key, title in (("weighted_f1", "weighted F1"), ("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        deviation = "" if scores.std is None else points(getattr(scores.std, key))
        interval = getattr(scores.interval, key) if scores.interval else None
        span = "" if interval is None else f"{points(interval.low)} to {points(interval.high)}"
        yield (
            f"| {title} | {points(getattr(scores, key))} | {deviation} | {span} | "
            f"{points(getattr(scores.majority, key))} |"
        )
    if (together := scores.together) is not None:
        yield ""
        yield (
            f"The mean of the seeds' probabilities, which is what the model answers with, scores "
            f"{points(together.weighted_f1)} weighted F1 and {points(together.accuracy)} accuracy."
        )
    yield ""
    yield "| label | F1 | precision | recall | utterances |\n|---|---|---|---|---|"
    for label, mean in scores.per_class.items():
        yield f"| {label} | {points(mean.f1)} | {points(mean.precision)} | {points(mean.recall)} | {mean.support} |"
    yield ""
    trust = config.trust
    if trust.calibration_error is not None and trust.measured_on is not None:
        yield f"Probabilities are scaled with temperature {trust.temperature:.3f}, fitted on {trust.fitted_on}"
        yield f"validation utterances; their calibration error (ECE) on the {split_name(trust.measured_on)} split is "
        yield f"{points(trust.calibration_error)}. Below {points(trust.threshold)} the answer is `not sure`."
        yield ""


def _data(scores: Metrics, config: Config) -> Iterator[str]:
    yield "## Data"
    yield ""
    labels = list(config.id2label.values())
    yield f"| split | dialogues | utterances | {' | '.join(labels)} |\n|---|---|---|{'---|' * len(labels)}"
    for split in Split:
        if size := scores.splits.get(split):
            counts = " | ".join(str(size.labels.get(label, 0)) for label in labels)
            yield f"| {split_name(split)} | {size.dialogues} | {size.utterances} | {counts} |"
    yield ""
    if keeps_texts(config.seeds[0].model):
        yield "In this folder are the text features, as directions, and the labels of the training utterances, which"
        yield "vote (`model.retrieval`). No transcript, no media and no other features of the corpus are in it."
    else:
        yield "No transcript, no media and no features of the corpus are in this folder."
    yield ""


def _features(config: Config) -> Iterator[str]:
    yield "## Features"
    yield ""
    for name, width in config.seeds[0].widths.items():
        maker = {} if config.makers is None else config.makers.extractors.get(name, {})
        yield f"- {name}: {width} numbers" + (f", `{maker['name']}`" if "name" in maker else "")
    yield ""
    if config.makers is not None:
        parts = {
            name: {key: maker[key] for key in ("settings", "weights", "engine") if maker.get(key)}
            for name, maker in config.makers.extractors.items()
        }
        yield f"```json\n{json.dumps(parts, indent=2, sort_keys=True, ensure_ascii=False)}\n```"
        yield ""
    versions = ", ".join(f"{library} {version}" for library, version in config.seeds[0].versions.items())
    yield f"Trained with {versions}. Settings of network and training are in `config.json`."
    yield ""


def _limits(scores: Metrics, config: Config) -> Iterator[str]:
    errors = measured(config.trust, scores)["errors"]
    worst = max(errors, key=lambda label: errors[label])
    yield "## Limits"
    yield ""
    yield f"- It was measured on {_corpus(config)} alone. On other speakers, languages, rooms and cameras it errs more."
    yield f"- On that corpus it gives {100 * errors[worst]:.0f} % of the utterances of `{worst}` "
    yield "  another label."
    yield "- It says which label annotators of that corpus would likely give. That is no proof of what a person feels:"
    yield "  do not decide about people by it."
    yield ""
