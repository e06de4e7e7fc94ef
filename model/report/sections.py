"""The report's sections on scores and training, each a function of the material."""

from __future__ import annotations

from bigfusion.model.report.figures import SEED_COLOURS, Curve, Mark, curves, firing_rates, score_strip
from bigfusion.model.report.markup import Child, Html, join, section, spread, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import points, seeds_of, split_name
from bigfusion.model.scoring.results import ClassMean, Deviation
from bigfusion.pipeline.schema import Split

_DEAD, _SATURATED = 0.01, 0.99
_FOLDS = (
    "A cross-validation: each of {folds} folds was tested once, by models that were trained on the others; the scores "
    "are of the predictions of all folds together, seed by seed. {chosen} The interval is a bootstrap over dialogues."
)
_CHOSEN = "Each checkpoint is the epoch with the best weighted F1 on a part of the training folds."
_FITTED = "The network is fitted at once, the same for every seed: no epoch was chosen."


def headline(material: Material) -> Html:
    """The score, its spread over seeds, and what to compare it with."""
    metrics, paper = material.metrics, material.paper
    beside = tag("span", f" ± {points(metrics.std.weighted_f1)}", class_="spread") if metrics.std else Html("")
    score = tag(
        "div",
        tag("span", points(metrics.weighted_f1), class_="value"),
        beside,
        tag("span", f"weighted F1, {split_name(metrics.scored)} split, {seeds_of(metrics)}", class_="of"),
        class_="score",
    )
    marks = [Mark("majority class", 100 * metrics.majority.weighted_f1)]
    marks += [Mark("paper", paper.weighted_f1)] if paper else []
    strip = score_strip(
        [(seed.seed, 100 * seed.weighted_f1) for seed in metrics.seeds], 100 * metrics.weighted_f1, marks
    )
    return tag("section", tag("div", score, strip, class_="hero"), _headline_table(material), _protocol(material))


def _headline_table(material: Material) -> Html:
    metrics, paper = material.metrics, material.paper
    head: list[Child] = ["", "this run", f"majority class ({metrics.majority.label})"]
    interval = metrics.interval
    head[2:2] = [f"95 % over {interval.dialogues} dialogues"] if interval else []
    head += ["paper"] if paper else []
    rows = []
    for name, title in (("weighted_f1", "Weighted F1"), ("accuracy", "Accuracy"), ("macro_f1", "Macro F1")):
        row: list[Child] = [
            title,
            _with_spread(getattr(metrics, name), metrics.std, name),
            points(getattr(metrics.majority, name)),
        ]
        if interval:
            bounds = getattr(interval, name)
            row.insert(2, f"{points(bounds.low)} to {points(bounds.high)}")
        if paper:
            printed = {"weighted_f1": paper.weighted_f1, "accuracy": paper.accuracy}.get(name)
            row.append("–" if printed is None else f"{printed:.2f}")
        rows.append(row)
    return table(head, rows, name="scores")


def _protocol(material: Material) -> Html:
    metrics, picked = material.metrics, material.metrics.test_picking
    fitted = material.facts.model.fitted_at_once
    if metrics.scored is not Split.TEST and fitted:
        unseen = "This corpus has no labelled test split: the scores are of the validation split, by a fit without it. "
        return tag("p", unseen + _FITTED)
    if metrics.scored is not Split.TEST:
        return tag(
            "p",
            "This corpus has no labelled test split: the scores are of the validation split, on which each seed's "
            "epoch was chosen too, and are too high for that reason.",
            class_="warn",
        )
    if material.folds:
        return tag("p", _FOLDS.format(folds=len(material.folds), chosen=_FITTED if fitted else _CHOSEN))
    sentence = (
        f"{_FITTED} The test split was scored once. "
        if fitted
        else "Each seed's checkpoint is the epoch with the best weighted F1 on validation; the test split was scored "
        "once, with that checkpoint. "
    )
    if metrics.std:
        sentence += "± is the standard deviation over seeds (n − 1): how much training wanders. "
    if metrics.interval:
        sentence += "The interval is a bootstrap over dialogues: how much the choice of test dialogues matters. "
    if (together := metrics.together) is not None and not fitted:
        sentence += (
            f"What predict answers, the mean of the {len(metrics.seeds)} seeds' probabilities, scores "
            f"{points(together.weighted_f1)} weighted F1 and {points(together.accuracy)} accuracy. "
        )
    if picked is None:
        return tag("p", sentence)
    aside = (
        f"Not a result: picking each seed's best epoch on the test split itself, as much public code of this field "
        f"does, would have shown {points(picked.weighted_f1)}, {picked.inflation_points:.2f} points more."
    )
    return tag("p", sentence, tag("em", aside))


def classes(material: Material) -> Html:
    """F1, precision and recall of every class, with its support."""
    metrics, paper, colours = material.metrics, material.paper, material.colours
    several = metrics.std is not None
    head: list[Child] = ["Class", "F1", "Precision", "Recall", "Support", *(["Paper's F1"] if paper else [])]
    rows = []
    for label, score in metrics.per_class.items():
        fill = tag("i", style=f"width:{100 * score.f1:.1f}%;background:{colours[label]}")
        row: list[Child] = [
            label,
            join([_class_f1(score, several), tag("span", fill, class_="bar")]),
            points(score.precision),
            points(score.recall),
            score.support,
        ]
        if paper:
            row.append(f"{paper.per_class[label]:.2f}" if label in paper.per_class else "–")
        rows.append(row)
    lead = "Means over seeds, in points; support counts the utterances that truly are of the class."
    return section("Classes", table(head, rows, name="classes"), lead=lead)


def confusion(material: Material) -> Html:
    """Which classes are taken for which."""
    metrics = material.metrics
    rows = []
    for label, counts in zip(metrics.labels, metrics.confusion.counts, strict=True):
        total = sum(counts)
        cells = [_confusion_cell(count, count / total if total else 0.0) for count in counts]
        rows.append(tag("tr", tag("th", label, scope="row"), *cells))
    head = tag(
        "tr",
        tag("th", "true ↓  predicted →"),
        *(tag("th", tag("span", label), scope="col") for label in metrics.labels),
    )
    grid = tag("table", tag("thead", head), tag("tbody", *rows), class_="confusion", data_name="confusion")
    lead = "Share of each true class (rows) that was predicted as each class, and the number of utterances"
    lead += ", a mean over seeds." if len(metrics.seeds) > 1 else "."
    return section("Confusion", tag("div", tag("div", grid, class_="scroll"), class_="box"), lead=lead)


def _confusion_cell(count: float, share: float) -> Html:
    strength = f"--share:{4 + 96 * share:.0f}%"  # the style mixes the cell's colour, for the light and the dark page
    shown = tag("small", f"{count:.1f}".removesuffix(".0"))
    dark = "strong" if share > 0.55 else None
    return tag("td", f"{100 * share:.0f} %", shown, style=strength, class_=dark)


def shifts(material: Material) -> Html:
    """Scores of turns at which the speaker's emotion changed, and of turns at which it did not."""
    shift = material.metrics.emotion_shift
    rows: list[list[Child]] = []
    for title, mean in (("Label differs from the speaker's last", shift), ("Label is the same", shift.steady)):
        rows.append(
            [
                title,
                mean.utterances,
                _with_spread(mean.weighted_f1, mean.std, "weighted_f1") if mean.utterances else "–",
                _with_spread(mean.accuracy, mean.std, "accuracy") if mean.utterances else "–",
            ]
        )
    lead = "Turns by whether the speaker's label differs from that speaker's previous one; first turns are neither."
    return section(
        "Emotion shifts", table(["", "Utterances", "Weighted F1", "Accuracy"], rows, name="emotion-shifts"), lead=lead
    )


def learning(material: Material) -> Html:
    """Loss and validation score over epochs, with the epoch of each seed's checkpoint."""
    loss, valid = [], []
    for index, (seed, history) in enumerate(zip(material.metrics.seeds, material.histories, strict=True)):
        colour = SEED_COLOURS[index % len(SEED_COLOURS)]
        loss += [
            Curve([epoch.parts["cross_entropy"] for epoch in history], colour),
            Curve([epoch.valid_loss for epoch in history], colour, dashed=True),
        ]
        valid.append(Curve([100 * epoch.valid_weighted_f1 for epoch in history], colour, chosen=seed.epoch))
    charts = tag(
        "div",
        curves("Loss", loss, "training —, validation - -"),
        curves("Weighted F1 on validation", valid, "points; ○ chosen epoch"),
        class_="pair",
    )
    head = ["Seed", "Chosen epoch", "Epochs", "Validation WF1", f"{split_name(material.metrics.scored).title()} WF1"]
    rows: list[list[Child]] = []
    for index, (seed, history) in enumerate(zip(material.metrics.seeds, material.histories, strict=True)):
        dot = tag("span", style=f"background:{SEED_COLOURS[index % len(SEED_COLOURS)]}", class_="dot")
        seconds = sum(epoch.seconds for epoch in history) / len(history)
        chosen = history[seed.epoch - 1].valid_weighted_f1
        rows.append(
            [
                tag("span", dot, seed.seed, class_="key"),
                seed.epoch,
                seed.epochs,
                points(chosen),
                points(seed.weighted_f1),
                f"{seconds:.2f} s",
            ]
        )
    if material.facts.model.fitted_at_once:
        times = "The time is that of the fit, with the predictions for validation and test."
        rows = [[seed, *scores] for seed, _, _, *scores in rows]
        return section(
            "Learning", table([head[0], *head[3:], "The fit took"], rows, name="learning"), lead=f"{_FITTED} {times}"
        )
    lead = (
        "The epoch was chosen where validation weighted F1 was best, the first on ties. The training loss is the one "
        "by which the network learns the labels (some weight the classes, smooth the labels or have a focal loss), the "
        "validation loss plain cross-entropy: read each curve by itself. An epoch's time includes the predictions for "
        "validation and test."
    )
    return section("Learning", charts, table([*head, "An epoch took"], rows, name="learning"), lead=lead)


def layers(material: Material) -> Html:
    """How often the neurons of each spiking layer fire. Empty if the network has no spiking layer."""
    chosen = [
        history[seed.epoch - 1].rates for seed, history in zip(material.metrics.seeds, material.histories, strict=True)
    ]
    rates = {layer: [seed[layer] for seed in chosen] for layer in chosen[0]}
    if not rates:
        return Html("")
    notes = []
    for layer, values in rates.items():
        mean = sum(values) / len(values)
        if mean < _DEAD or mean > _SATURATED:
            state = "hardly ever fires" if mean < _DEAD else "fires at nearly every step"
            notes.append(tag("p", f"{layer} {state} ({100 * mean:.1f} %): it tells the network little.", class_="warn"))
    lead = "Mean share of the time steps at which the neurons of a layer fire, in the chosen epoch, a dot a seed."
    return section("Firing rates", firing_rates(rates), *notes, _neurons(material), lead=lead)


def _neurons(material: Material) -> Html:
    """The neurons of each layer that carry no information (dead or saturated), as means over seeds."""
    rows: list[list[Child]] = []
    for layer in material.neurons[0]:
        several = [seed[layer] for seed in material.neurons]
        dead, saturated = (sum(getattr(one, kind) for one in several) / len(several) for kind in ("dead", "saturated"))
        rows.append([layer, several[0].count, f"{dead:.1f}", f"{saturated:.1f}"])
    caption = "Dead neurons fired for no validation utterance, saturated ones at every step of all of them."
    return join(
        [table(["Layer", "Neurons", "Dead", "Saturated"], rows, name="neurons"), tag("p", caption, class_="lead")]
    )


def _class_f1(score: ClassMean, several: bool) -> Html:
    if not several or score.f1_std is None:
        return join([points(score.f1)])
    return join([points(score.f1), spread(score.f1_std)])


def _with_spread(value: float, std: Deviation | None, name: str) -> Html:
    if std is None:
        return join([points(value)])
    return join([points(value), spread(getattr(std, name))])
