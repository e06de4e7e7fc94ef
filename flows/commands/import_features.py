"""``bigfusion import``: make a project from a feature file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands import show
from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.flows.commands.store import store_info
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.words import quoted

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project
    from bigfusion.pipeline.manifest.manifest import Manifest

HELP = "take over a feature file of yours (a pickle of the field: MMSA, COGMEN, MMGCN, ...; Parquet)"

_HELD_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `import` takes."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("folder", type=Path, metavar="DIR", nargs="?", help="project folder (default: the file's name)")


def run(common: Common, file: str, folder: Path | None) -> Answer:
    """Make a project from a feature file: settings, manifest, and the features in the store."""
    from bigfusion.flows.project import corpus
    from bigfusion.flows.project.load import DEFAULT_CONFIG, load
    from bigfusion.flows.project.write import write_import_config
    from bigfusion.pipeline.feature_files.corpus import FeatureSettings, read
    from bigfusion.pipeline.settings import assign, validate

    without("import", "name the project's folder after the file", config=common.config)
    source = Path(file).resolve()
    folder = folder or Path(source.stem)
    config = folder / DEFAULT_CONFIG
    own = assign({"corpus": {"kind": "features", "path": str(source)}}, common.assignments)["corpus"]
    if not config.exists():
        corpus_settings = validate(FeatureSettings, own, "--set")
        found = read(corpus_settings)  # an unusable file is refused before anything is written
        there = {name.modality for name in found.features}
        write_import_config(config, corpus_settings, common.preset, there)
    project = load(config, None, common.assignments)
    other = folder.with_name(f"{folder.name}-2")
    if not isinstance(project.corpus, FeatureSettings) or project.corpus.path.resolve() != source:
        raise SettingsError(
            f"{config}: expected a project on {source}, found one on another corpus; name another folder:"
            f" `bigfusion import {quoted(file)} {quoted(other)}`, or set corpus.path in it"
        )
    with project.files.exclusive():
        manifest = corpus.ingest(project).manifest
        _extract(project, manifest)
    data = manifest.summary(project.files.manifest) | {"config": str(config), "store": store_info(project)}
    return Answer(show.ingested(data, True) + f"\nnext: cd {quoted(folder)} && bigfusion run", data)


def _extract(project: Project, manifest: Manifest) -> None:
    """Take the features into the store, one after the other."""
    from bigfusion.flows.project import cells
    from bigfusion.flows.project.needs import publish_needs

    planned = cells.plan(project, manifest)
    publish_needs(project, planned)
    for feature in planned.features:
        todo = planned.pending(feature)
        while todo:
            held: set[str] = set()  # cells that another import into the same store holds
            for part in cells.chunks(todo, project.extract.chunk_size):
                (result,) = cells.extract_chunk(project, manifest, part, run="import")
                held.update(result.left)
            todo = [cell for cell in todo if cell.fingerprint in held]
            time.sleep(_HELD_SECONDS if todo else 0)
