"""``bigfusion init``: write a commented settings file for a preset."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.flows.project.preset_names import LEARNING
from bigfusion.pipeline.errors import CorpusError, SettingsError
from bigfusion.pipeline.words import quoted

HELP = "write a commented settings file for a preset into a folder"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `init` takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the new project: bigfusion.toml is written there")
    parser.add_argument("--root", metavar="PATH", help="the corpus's folder; with --preset table that of the media")
    parser.add_argument(
        "--learning",
        choices=LEARNING,
        help="train by the numbers of a search, or by those that the paper states (default: the preset's own)",
    )


def run(common: Common, folder: Path, root: str | None, learning: str | None) -> Answer:
    """Write a commented settings file. An existing file is never overwritten."""
    from bigfusion.flows.project.load import DEFAULT_CONFIG, load
    from bigfusion.flows.project.write import SKELETON, write_config
    from bigfusion.pipeline.corpora.scan import check_layout

    if common.preset is None:
        raise SettingsError("init: expected a preset; for instance `bigfusion init my-meld --preset meld`")
    without("init", "edit the file that it writes", config=common.config, set=common.assignments)
    path = folder / DEFAULT_CONFIG
    write_config(path, common.preset, root, learning)
    if root:
        try:
            check_layout(load(path).corpus)
        except CorpusError as error:  # the corpus may be unpacked or mounted later, so the settings are kept
            log.warning("init: %s", error)
    first = "" if root else "set corpus.root in it, then "
    if common.preset == "table":
        first = f"fill {folder / SKELETON} with a row for each utterance, then "
    text = f"wrote {path}: {first}`cd {quoted(folder)} && bigfusion plan`, then `bigfusion run`"
    return Answer(text, {"config": str(path)})
