"""``bigfusion ingest``: the corpus as a manifest."""

from __future__ import annotations

import argparse

from bigfusion.flows.commands import show
from bigfusion.flows.commands.common import Answer, Common

HELP = "scan the corpus into a manifest: counts by split and label, and what was skipped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the settings hold everything."""


def run(common: Common) -> Answer:
    """Scan the corpus and keep its manifest. This takes seconds and changes nothing else, so it needs no Prefect."""
    from bigfusion.flows.progress import counted
    from bigfusion.flows.project import corpus

    project = common.project()
    with project.files.exclusive(), counted("ingest", " files") as progress:
        found = corpus.ingest(project, progress)
    summary = found.manifest.summary(project.files.manifest)
    data = {**summary, "notes": [*summary["notes"], *found.moved]}
    return Answer(show.ingested(data, found.changed), data)
