"""Where the scores come from: counts of the data, fingerprints, settings and library versions."""

from __future__ import annotations

from bigfusion.model.networks.base import network_class
from bigfusion.model.report.markup import Child, Html, section, table, tag
from bigfusion.model.report.material import CurrentModel, Material
from bigfusion.model.report.wording import machine, split_name
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import duration


def data(material: Material) -> Html:
    """Splits, labels and feature cells."""
    splits = material.metrics.splits
    shown = [split for split in Split if splits[split].dialogues]
    rows: list[list[Child]] = [
        ["Dialogues", *(splits[split].dialogues for split in shown)],
        ["Utterances", *(splits[split].utterances for split in shown)],
    ]
    rows += [[label, *(splits[split].labels[label] for split in shown)] for label in material.metrics.labels]
    if any(splits[split].utterances > sum(splits[split].labels.values()) for split in shown):
        rest = [splits[split].utterances - sum(splits[split].labels.values()) for split in shown]
        rows.append(["no label: read, not scored", *rest])
    parts = [table(["", *(split_name(split).capitalize() for split in shown)], rows, name="data")]
    if cells := material.context.cells:
        statuses = sorted(
            {status for counts in cells.values() for status in counts}, key=lambda name: (name != "ok", name)
        )
        grid: list[list[Child]] = [
            [modality, *(counts.get(status, 0) for status in statuses)] for modality, counts in cells.items()
        ]
        parts += [
            tag("h3", "Feature cells"),
            tag(
                "p",
                "One cell is one utterance under one extractor. All but ok are typed failures: the network "
                f"reads {_in_its_place(material)} there.",
                class_="lead",
            ),
            table(["Modality", *(status.replace("_", " ") for status in statuses)], grid, name="cells"),
        ]
    return section("Data", *parts)


def _in_its_place(material: Material) -> str:
    """What the network reads where a feature could not be computed."""
    if not network_class(material.facts.model.kind).absent_vectors:
        return "the training mean"
    return "an “absent” vector, which it learns from such cells of the training split alone,"


def provenance(material: Material) -> Html:
    """Fingerprints, settings and library versions."""
    facts, context = material.facts, material.context
    prints = dict(context.fingerprints) | {"training data": facts.data.digest}
    versions = dict(facts.versions) | dict(context.versions)
    own = {"model": facts.model.model_dump(mode="json"), "train": facts.train.model_dump(mode="json")}
    settings = [[tag("code", key), tag("code", value)] for key, value in _flat("", own)]
    return section(
        "Fingerprints and settings",
        table(["Fingerprint", "SHA-256"], [[name, tag("code", value)] for name, value in prints.items()], "plain"),
        *_against_current(context.current),
        tag("h3", "Settings"),
        tag(
            "div",
            table(["Key", "Value"], settings[: len(settings) // 2 + 1], "plain"),
            table(["Key", "Value"], settings[len(settings) // 2 + 1 :], "plain"),
            class_="pair",
        ),
        tag("h3", "Versions"),
        tag("p", ", ".join(f"{name} {number}" for name, number in versions.items())),
    )


def _against_current(current: CurrentModel | None) -> list[Html]:
    """The settings that differ between this run and the current model."""
    if current is None:
        return []
    mine, theirs = dict(_flat("", dict(current.own))), dict(_flat("", dict(current.settings)))
    rows: list[list[Child]] = [
        [tag("code", key), tag("code", theirs.get(key, "–")), tag("code", mine.get(key, "–"))]
        for key in sorted(mine.keys() | theirs.keys())
        if mine.get(key) != theirs.get(key)
    ]
    head = tag("h3", f"Against the current model, run {current.run}")
    if not rows:
        return [head, tag("p", "The settings of network and training are the same.", class_="lead")]
    return [head, table(["Setting", "Current model", "This run"], rows, "plain", name="against-current")]


def cost(material: Material) -> Html:
    """What the run cost: network size, time and machine."""
    seconds = [sum(epoch.seconds for epoch in history) for history in material.histories]
    epochs = sum(len(history) for history in material.histories)
    rows: list[list[Child]] = [
        ["Parameters and fitted numbers of a network", f"{material.parameters:,}"],
        ["Epochs over all seeds", epochs],
        ["Training time over all seeds", duration(sum(seconds))],
        ["Longest seed", duration(max(seconds))],
    ]
    rows += [["Trained on", machine(name)] for name in material.machines]
    lead = (
        "Time by the clock, of the epochs, with the predictions for validation and test after each; other work on the "
        "machine counts in."
    )
    return section("Cost", table(["", ""], rows, "plain"), lead=lead)


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        dot = f"{prefix}." if prefix else ""
        return [pair for key, inner in value.items() for pair in _flat(f"{dot}{key}", inner)]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value))]
