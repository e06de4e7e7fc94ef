"""What a timeline's page says about its labels: who made them, and how often that model is wrong."""

from __future__ import annotations

from bigfusion.model.report.clock import percent
from bigfusion.model.report.lanes import label_class
from bigfusion.model.report.markup import Child, Html, section, tag
from bigfusion.model.report.paper import network_title
from bigfusion.model.report.wording import points, split_name
from bigfusion.model.scoring.timeline import NOT_SURE, Timeline
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import numbered


def trust(timeline: Timeline) -> Html:
    """The section at the page's end."""
    origin = timeline.origin
    by = (
        f"The labels are guesses of {network_title(origin.network)} (model {origin.model}, mean of "
        f"{numbered(origin.seeds, 'seed')}), trained on {origin.corpus}, from {_and(origin.features)}. They say how "
        f"people who labelled {origin.corpus} might have named what is said here, not what anybody feels."
    )
    return section("How far to trust this", tag("p", by), *_measured(timeline), *_errors(timeline))


def _measured(timeline: Timeline) -> list[Child]:
    origin = timeline.origin
    utterances = f"{split_name(origin.scored)} utterances of {origin.corpus}"
    said = []
    if origin.accuracy is not None:
        said.append(
            f"It names {percent(origin.accuracy)} of the {utterances} as they were labelled"
            + (f" (weighted F1 {points(origin.weighted_f1)})." if origin.weighted_f1 is not None else ".")
        )
    elif origin.weighted_f1 is not None:
        said.append(f"Its weighted F1 on the {utterances} is {points(origin.weighted_f1)}.")
    if not said:
        said.append(f"How often it is wrong was not measured on {utterances}.")
    if not origin.errors and origin.weighted_f1 is not None:
        said.append("How often it errs on each label is not known: an earlier version of bigfusion published it.")
    if origin.calibration_error is not None:
        said.append(
            f"Its probabilities are off by {100 * origin.calibration_error:.1f} points on average (calibration error)."
        )
    if origin.scored is not Split.TEST and not origin.fitted_at_once:
        said.append("Its epochs were chosen on these utterances, so it errs more on others than these figures say.")
    if origin.threshold:
        counted = "; the figures here are of its likeliest label all the same" if origin.weighted_f1 is not None else ""
        said.append(f"Below {percent(origin.threshold)} it is “{NOT_SURE}”, a threshold chosen on validation{counted}.")
    said.append("Other people, rooms and microphones can make it err more; how much has not been measured here.")
    return [tag("p", " ".join(said))]


def _errors(timeline: Timeline) -> list[Child]:
    errors = timeline.origin.errors
    known = [label for label in timeline.labels if label in errors]
    if not known:
        return []
    rows = []
    for label in known:
        bar = tag(
            "span", tag("i", style=f"width:{100 * errors[label]:.1f}%"), class_=f"bar {label_class(label, timeline)}"
        )
        chip = tag("span", label, class_=f"chip {label_class(label, timeline)}")
        rows.append(tag("tr", tag("th", chip, scope="row"), tag("td", percent(errors[label])), tag("td", bar)))
    which = f"{split_name(timeline.origin.scored)} utterances of {timeline.origin.corpus}"
    caption = tag("caption", f"How often {which} with this label are given another one")
    return [tag("table", caption, tag("tbody", *rows), class_="errors")]


def _and(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
