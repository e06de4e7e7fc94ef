"""The transcript of a timeline: who says what when, with the label that it was given."""

from __future__ import annotations

from bigfusion.model.report.clock import clock, percent
from bigfusion.model.report.lanes import label_class, said_probability
from bigfusion.model.report.markup import Child, Html, tag
from bigfusion.model.scoring.timeline import NO_SPEECH, Moment, Timeline


def transcript(timeline: Timeline) -> Html:
    """A line for each moment. The page's script lights the current one, and shows a line's probabilities."""
    rows = [_row(number, moment, timeline) for number, moment in enumerate(timeline.moments)]
    return tag("ol", *rows, id="transcript")


def _row(number: int, moment: Moment, timeline: Timeline) -> Html:
    at = tag("button", clock(moment.start), type="button", class_="at", tabindex=-1 if number else 0)
    cells: list[Child] = [
        tag("b", moment.speaker or "(no name)"),
        tag(
            "span",
            moment.label,
            *_small(said_probability(moment)),
            class_=f"chip {label_class(moment.label, timeline)}",
        ),
        tag("span", moment.text or ("–" if moment.label == NO_SPEECH else "(no words)"), class_="text", dir="auto"),
    ]
    if moment.true:
        agree = " right" if moment.true == moment.label else ""
        cells.append(tag("small", f"labelled {moment.true}", class_=f"true{agree}"))
    cells += [tag("small", f"no {feature}: {reason}", class_="why") for feature, reason in moment.absent.items()]
    return tag("li", at, tag("div", *cells), id=f"u{number}", data_i=number, title=_all(moment))


def _small(text: str) -> list[Child]:
    return [" ", tag("small", text)] if text else []


def _all(moment: Moment) -> str | None:
    """Every probability, the largest first. The script shows them better, and takes this text away."""
    ordered = sorted(moment.probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {percent(share)}" for label, share in ordered) or None
