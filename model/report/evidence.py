"""The report's sections on how far the scores can be trusted: calibration, ablations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigfusion.model.report.figures import reliability
from bigfusion.model.report.markup import Child, Html, join, section, spread, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import points


def calibration(material: Material) -> Html:
    """Whether the predicted probabilities agree with how often the predictions are right."""
    metrics = material.metrics
    deviation = f" ± {points(metrics.ece_std)}" if metrics.ece_std is not None else ""
    lead = (
        f"Expected calibration error {points(metrics.ece)}{deviation} points: how far, on average, the probability of "
        "the predicted class is from the share of such predictions that are right. On the diagonal both agree; below "
        "it the network is too sure. The area of a dot is the number of predictions"
        f"{', all seeds together' if metrics.std else ''}."
    )
    return section("Calibration", reliability(metrics.calibration), lead=lead)


def modalities(material: Material) -> Html:
    """How much the networks depend on each modality. Empty unless ``bigfusion evaluate --modalities`` measured it."""
    asked = material.modalities
    if asked is None:
        return Html("")
    whole = asked.rows[0].mean
    rows: list[list[Child]] = []
    for row in asked.rows:
        lost = "–" if row is asked.rows[0] else f"{100 * (row.mean.weighted_f1 - whole.weighted_f1):+.2f}"
        std = row.mean.std
        cells = [
            join([points(getattr(row.mean, name)), *([spread(getattr(std, name))] if std else [])])
            for name in ("weighted_f1", "accuracy")
        ]
        rows.append([" + ".join(row.modalities), cells[0], lost, cells[1]])
    instead = "their “absent” vectors" if asked.vectors else "the training means"
    lead = (
        f"The same trained networks, reading only these modalities: in place of the others they read {instead}. It "
        "shows what they lean on; a network trained without a modality may reach more."
    )
    lead += f" But {asked.note}." if asked.note else ""
    return section(
        "Modalities", table(["Reads", "Weighted F1", "Difference", "Accuracy"], rows, name="modalities"), lead=lead
    )


def ablations(material: Material) -> Html:
    """The paper's Table 4 on this corpus. Empty unless ``bigfusion reproduce --table 4`` made it."""
    made = material.context.ablations
    if made is None:
        return Html("")
    if made.get("data") != material.facts.data.digest:
        why = (
            "Not shown: the ablations were made on other data than this run was trained on; "
            "`bigfusion reproduce --table 4` makes them anew."
        )
        return section("Ablations", tag("p", why, class_="warn"))
    paper = any(row["paper"] for row in made["rows"])
    head = ["", "Accuracy", "Weighted F1", "Difference", "95 %"]
    head += ["Paper's WF1"] if paper else []
    printed = made["rows"][0]["paper"]
    rows = [_ablation(row, printed) for row in made["rows"]]
    lead = (
        f"Each part taken away in turn, {len(made['seeds'])} seeds, {made['scored']} split, points. The interval is "
        "that of a paired bootstrap over dialogues; where it holds 0 the part has not been shown to matter."
    )
    lead += f" But {few}." if (few := made.get("few", "")) else ""
    parts = [table(head, rows, name="ablations"), *_left_out(made), *_other_settings(made, material)]
    return section("Ablations", *parts, lead=lead)


def _left_out(made: Mapping[str, Any]) -> list[Html]:
    """Which rows of Table 4 the network has no part for."""
    if not (rows := made.get("left_out")):
        return []
    said = ", ".join(f"{name} ({why})" for name, why in rows.items())
    return [tag("p", f"Left out, for the network has nothing to take away there: {said}.", class_="warn")]


def _other_settings(made: Mapping[str, Any], material: Material) -> list[Html]:
    """A warning if the complete network of the ablations is another one than the run's."""
    found = []
    for part, settings in (("model", material.facts.model), ("train", material.facts.train)):
        known = made.get(part, {})
        found += [
            f"{part}.{key}"
            for key, value in settings.model_dump(mode="json", exclude=set(settings.run_only)).items()
            if key in known and known[key] != value
        ]
    if not found:
        return []
    return [tag("p", f"Made with other settings than this run's: {', '.join(found)}.", class_="warn")]


def _ablation(row: dict[str, Any], complete: dict[str, float] | None) -> list[Child]:
    against = row["against_complete"]
    cells: list[Child] = [row["name"], _mean(row["accuracy"]), _mean(row["weighted_f1"])]
    if against:
        known = against["low"] is not None  # a single dialogue has no interval
        interval = f"{100 * against['low']:+.2f} to {100 * against['high']:+.2f}" if known else "–"
        cells += [f"{100 * against['difference']:+.2f}", interval]
    else:
        cells += ["–", "–"]
    if complete and row["paper"]:
        printed = row["paper"]["weighted_f1"]
        cells.append(f"{printed:.2f}" + (f" ({printed - complete['weighted_f1']:+.2f})" if against else ""))
    return cells


def _mean(score: dict[str, Any]) -> str:
    spread = "" if score["std"] is None else f" ± {points(score['std'])}"
    return points(score["mean"]) + spread
