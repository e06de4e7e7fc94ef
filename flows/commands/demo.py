"""``bigfusion demo``: make a small corpus of real media files, and run the whole pipeline on it."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from shutil import which

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.flows.commands.run import run_project
from bigfusion.pipeline.words import numbered

HELP = "make a small corpus of real media files, and run everything on it"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `demo` takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("demo"))


def run(common: Common, folder: Path) -> Answer:
    """Make the demo corpus if it is missing, and run the whole pipeline on it."""
    from bigfusion.flows.progress import counted
    from bigfusion.flows.project.load import DEFAULT_CONFIG, load
    from bigfusion.flows.project.workspace import relative
    from bigfusion.flows.project.write import write_config
    from bigfusion.pipeline.demo.build import build
    from bigfusion.pipeline.demo.conversation import write_conversation

    config = folder / DEFAULT_CONFIG
    other = common.preset if common.preset != "demo" else None
    without("demo", f"edit {config}, or use --set", config=common.config, preset=other)
    with counted("demo corpus", " clips") as progress:
        built = build(folder / "MELD.Raw", progress)
    made = f"{numbered(built.made, 'file')} made" if built.made else "complete already"
    log.info("demo: %d utterances of real media in %s: %s", built.utterances, relative(built.folder.resolve()), made)
    if not config.exists():
        write_config(config, "demo", None)
    video = write_conversation(folder, built.folder)
    answer = run_project(load(config, "demo", common.assignments), common.debug)
    line = next_line(video, config)
    return replace(answer, text=f"{answer.text}\n\nnext: {line}", data=answer.data | {"next": line})


def next_line(video: Path, config: Path) -> str:
    """The command that predicts the demo's conversation, as a person in this folder would type it."""
    from bigfusion.flows.project.workspace import relative

    words = [program(), "predict", relative(video.resolve())]
    words += ["--subtitles", relative(video.with_suffix(".srt").resolve())]
    words += [] if config.parent == Path("demo") else ["--config", relative(config.resolve())]
    return shlex.join(words)


def program() -> str:
    """What starts this program from here: its name, or its path if the environment is not activated."""
    from bigfusion.flows.project.workspace import relative

    this = Path(sys.argv[0])
    if this.name != "bigfusion" or which("bigfusion") is not None:
        return "bigfusion"
    return relative(this.absolute())
