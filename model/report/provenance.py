"""What the scores rest on: the data's counts, fingerprints, settings and library versions."""

from __future__ import annotations

from bigfusion.model.report.markup import Child, Html, section, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import split_name
from bigfusion.pipeline.schema import Split


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
    parts = [table(["", *(split_name(split).capitalize() for split in shown)], rows)]
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
                "reads a learned “absent” vector there.",
                class_="lead",
            ),
            table(["Modality", *(status.replace("_", " ") for status in statuses)], grid),
        ]
    return section("Data", *parts)


def provenance(material: Material) -> Html:
    """Fingerprints, settings and library versions."""
    facts, context = material.facts, material.context
    prints = dict(context.fingerprints) | {"training data": facts.data.digest}
    versions = dict(facts.versions) | dict(context.versions)
    settings = [
        [tag("code", key), tag("code", value)]
        for part, values in (
            ("model", facts.model.model_dump(mode="json")),
            ("train", facts.train.model_dump(mode="json")),
        )
        for key, value in _flat(part, values)
    ]
    return section(
        "Fingerprints and settings",
        table(["Fingerprint", "SHA-256"], [[name, tag("code", value)] for name, value in prints.items()], "plain"),
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


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(f"{prefix}.{key}", inner)]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value))]
