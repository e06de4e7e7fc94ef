"""A published corpus's labels, renamed or merged: to train on one corpus and score on another."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.settings import Settings


class MappedSettings(Settings):
    """The settings of a corpus whose labels may be renamed or merged."""

    label_map: dict[str, str] = Field(default={}, description='renames or merges labels; "" makes one no label')


def relabelled(manifest: Manifest, label_map: Mapping[str, str]) -> Manifest:
    """``manifest`` with its labels mapped. The classes keep their order; a label that is not mapped keeps its name.

    An utterance whose label becomes ``""`` stays in its dialogue; it is neither trained on nor scored.

    Raises:
        CorpusError: ``label_map`` maps a label that the corpus does not have, or leaves no class.
    """
    if not label_map:
        return manifest
    for name in label_map:
        if name not in manifest.labels:
            known = ", ".join(manifest.labels)
            near = did_you_mean(name, manifest.labels)
            raise CorpusError(f"corpus.label_map: expected labels of {manifest.corpus} ({known}), found {name!r}{near}")
    labels = tuple(dict.fromkeys(name for name in (label_map.get(one, one) for one in manifest.labels) if name))
    if not labels:
        raise CorpusError("corpus.label_map: expected a class, found that all labels become none")
    table = manifest.table.assign(label=[label_map.get(label, label) for label in manifest.table["label"]])
    return Manifest(manifest.corpus, manifest.root, labels, table, manifest.skipped, manifest.notes)
