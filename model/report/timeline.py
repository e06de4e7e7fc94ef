"""The page of one recording: the video with the current utterance lit, a strip a speaker, the mood, the transcript.

It is one file beside the recording, or with the recording in it. It loads nothing else, and without its script it is
still complete, apart from the link between the video and the text.
"""

from __future__ import annotations

import json
import mimetypes
import os
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from bigfusion.model.report.clock import clock, percent
from bigfusion.model.report.figures import ink_on, label_colours
from bigfusion.model.report.lanes import label_class, lanes
from bigfusion.model.report.markup import Child, Html, join, tag
from bigfusion.model.report.mood import Mood, mood
from bigfusion.model.report.mood_area import mood_area
from bigfusion.model.report.timeline_script import SCRIPT
from bigfusion.model.report.timeline_style import STYLE
from bigfusion.model.report.transcript import transcript
from bigfusion.model.report.trust import trust
from bigfusion.model.runs.files import write_file
from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE, Clip, Timeline
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.words import numbered

EMBEDDED = 100 * 2**20
"""The bytes of media that a page can hold. Larger pages open slowly, and some browsers do not play them."""

HASH = b64encode(sha256(SCRIPT.encode()).digest()).decode()
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file: data:; "
    f"script-src 'sha256-{HASH}'"
)
"""What a browser lets the page do: its own style, this script alone, and the media beside it."""


def write_timeline(timeline: Timeline, path: Path, embed: bool = False) -> None:
    """Write the page of a recording. The media are linked relative to the page, or with ``embed`` part of it.

    Raises:
        TrainingError: the recording has no length, its media are too large to embed or cannot be read, or the page
            cannot be written.
    """
    if not timeline.seconds > 0:
        raise TrainingError(f"{timeline.media}: expected a recording with a length, found {timeline.seconds} s")
    files = list(dict.fromkeys(clip.media for clip in _clips(timeline)))
    sources = _embedded(files) if embed else {file: _link(file, path.parent) for file in files}
    write_file(path, page(timeline, sources).encode())


def page(timeline: Timeline, sources: dict[Path, str]) -> Html:
    """The whole page. ``sources`` are the addresses of the media files."""
    title = timeline.title or timeline.media.stem
    colours, over_time = label_colours(timeline.labels), mood(timeline)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} – emotions over time"),
        tag("style", Html(STYLE + _label_rules(timeline.labels, colours))),
    )
    body = tag(
        "main",
        _header(timeline, title),
        tag("section", *_player(timeline, sources), id="player"),
        tag("section", *_strips(timeline, over_time, colours), id="strips"),
        tag("section", _find(timeline), transcript(timeline), id="lines", tabindex=-1),
        trust(timeline),
        class_="picture" if timeline.has_picture else "sound",
    )
    data = tag("script", Html(_data(timeline, sources)), type="application/json", id="data")
    script = tag("script", Html(SCRIPT))
    tip = tag("div", id="tip", hidden="")
    return Html("<!doctype html>\n" + tag("html", head, tag("body", body, tip, data, script), lang="en") + "\n")


def _clips(timeline: Timeline) -> Sequence[Clip]:
    return timeline.clips or (Clip(timeline.media, 0.0, timeline.seconds),)


def _link(media: Path, folder: Path) -> str:
    """The address of a file relative to a folder."""
    relative = Path(os.path.relpath(media.resolve(), folder.resolve())).as_posix()
    address = quote(relative)
    return address if "/" in address else f"./{address}"  # "a:b.mp4" alone would be read as a protocol


def _embedded(files: Sequence[Path]) -> dict[Path, str]:
    try:
        size = sum(file.stat().st_size for file in files)
        if size > EMBEDDED:
            raise TrainingError(
                f"{files[0]}: expected at most {EMBEDDED / 2**20:.0f} MB of media to embed in a page, found "
                f"{size / 2**20:.0f} MB; leave --embed out, and keep the page beside the file"
            )
        return {file: f"data:{_kind(file)};base64,{b64encode(file.read_bytes()).decode()}" for file in files}
    except OSError as error:
        raise TrainingError(f"{error.filename}: cannot be read ({error.strerror}); it was to be embedded") from None


def _kind(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "video/mp4"


def _header(timeline: Timeline, title: str) -> Html:
    facts = [
        clock(timeline.seconds),
        numbered(len(timeline.moments), "utterance"),
        numbered(len(timeline.speakers), "speaker"),
    ]
    facts += _as_labelled(timeline)
    origin = timeline.origin
    told = f"{' · '.join(facts)} · labels by model {origin.model}, trained on {origin.corpus}"
    return tag("header", tag("h1", title), tag("p", told, class_="facts"))


def _as_labelled(timeline: Timeline) -> list[str]:
    """How often the likeliest label is the true one, as the report counts, with what the page calls otherwise."""
    labelled = [moment for moment in timeline.moments if moment.true]
    silent = sum(moment.label == NO_SPEECH for moment in labelled)
    right = [moment for moment in labelled if moment.best == moment.true]
    unsure = sum(moment.label == NOT_SURE for moment in right)
    if not labelled:
        return []
    told = f"{len(right)} of {len(labelled) - silent} as labelled"
    told += f", {unsure} of them “{NOT_SURE}”" if unsure else ""
    return [told + (f", {silent} “{NO_SPEECH}”" if silent else "")]


def _player(timeline: Timeline, sources: dict[Path, str]) -> list[Child]:
    element, first = ("video" if timeline.has_picture else "audio"), _clips(timeline)[0]
    media = tag(
        element, id="media", src=sources[first.media], controls="", preload="metadata", playsinline="", tabindex=0
    )
    buttons = [
        tag("button", text, type="button", id=id_, title=title, aria_label=title)
        for id_, text, title in (
            ("back", _icon("M4 3h2v10H4zM14 3v10L6.5 8z"), "previous utterance (k)"),
            ("play", join([_icon("M4 2.5v11L13.5 8z"), _icon("M4 3h3v10H4zM9 3h3v10H9z")]), "play or pause (space)"),
            ("on", _icon("M12 3h-2v10h2zM2 3v10L9.5 8z"), "next utterance (j)"),
        )
    ]
    bar = tag("div", *buttons, tag("output", f"0:00 / {clock(timeline.seconds)}", id="time"), id="transport")
    trouble = tag("p", id="trouble", hidden="", role="alert")
    return [tag("div", media, id="frame"), trouble, bar, tag("div", id="now", aria_live="off")]


def _icon(path: str) -> Html:
    return tag("svg", tag("path", d=path), viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def _strips(timeline: Timeline, over_time: Mood, colours: dict[str, str]) -> list[Child]:
    used = {moment.label for moment in timeline.moments}
    chips = [
        tag("button", label, type="button", class_=f"chip {label_class(label, timeline)}", data_label=label)
        for label in (*timeline.labels, *(special for special in (NOT_SURE, NO_SPEECH) if special in used))
    ]
    zoom = [
        tag("button", text, type="button", id=id_, title=title, aria_label=title)
        for id_, text, title in (
            ("out", "−", "show more time"),
            ("in", "+", "show less time"),
            ("fit", "all", "show the whole recording"),
        )
    ]
    unsure = (
        f" “{NOT_SURE}”: no label reached {percent(timeline.origin.threshold)}." if timeline.origin.threshold else ""
    )
    lead = f"The higher a block, the surer the model.{unsure} Click to go there."
    window = f"{over_time.window:.0f} s" if over_time.window < 100 else f"{over_time.window / 60:.0f} min"
    return [
        tag("div", tag("div", *chips, class_="chips", id="legend"), tag("div", *zoom, id="zoom"), class_="legend"),
        tag("p", lead, class_="lead"),
        tag("div", lanes(timeline), id="scroller"),
        tag("h2", "Mood over time"),
        tag("p", f"The mean probability of each label over {window}, by the seconds spoken.", class_="lead"),
        mood_area(over_time, timeline, colours),
    ]


def _find(timeline: Timeline) -> Html:
    search = tag("input", type="search", id="find", placeholder="Find words, names", aria_label="Find")
    keys = "space plays · ← → 5 s · j k next and previous utterance"
    return tag("div", search, tag("output", id="count"), tag("span", keys, class_="keys"), class_="find", id="finder")


def _label_rules(labels: Sequence[str], colours: dict[str, str]) -> str:
    return "".join(
        f".l{index} {{ --c: {colours[label]}; --on: {ink_on(colours[label])}; }}\n"
        for index, label in enumerate(labels)
    )


def _data(timeline: Timeline, sources: dict[Path, str]) -> str:
    """What the script reads, as JSON that cannot end its element. Text stays in the transcript."""
    files = list(sources)
    data = {
        "seconds": timeline.seconds,
        "labels": timeline.labels,
        "files": ["" if len(files) == 1 else sources[file] for file in files],
        "names": [file.name for file in files],
        "clips": [[files.index(clip.media), clip.start, clip.seconds, clip.offset] for clip in timeline.clips],
        "moments": [
            [
                round(moment.start, 3),
                round(moment.end, 3),
                moment.label,
                [round(moment.probabilities[label], 4) for label in timeline.labels] if moment.probabilities else [],
            ]
            for moment in timeline.moments
        ],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
