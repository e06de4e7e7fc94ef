"""EmoryNLP: scenes of Friends with an emotion for each utterance, three JSON files -> a manifest without media.

``emotion-detection-trn.json``, ``-dev.json`` and ``-tst.json`` hold episodes, scenes and utterances; an utterance has
utterance_id (``s01_e02_c01_u001``), speakers (a list), transcript and emotion. The names and the fields are those of
the corpus's repository (emorynlp/emotion-detection) as its own scripts and other readers use them. A scene is a
dialogue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from bigfusion.pipeline.corpora.base import Progress, assemble, columns_of, corpus_folder, silent
from bigfusion.pipeline.corpora.json_files import entries, read_json
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped, Split
from bigfusion.pipeline.tables.encoding import plain

FILES = {
    Split.TRAIN: "emotion-detection-trn.json",
    Split.VALID: "emotion-detection-dev.json",
    Split.TEST: "emotion-detection-tst.json",
}
LABELS = ("joyful", "mad", "neutral", "peaceful", "powerful", "sad", "scared")


class EmoryNlpSettings(MappedSettings):
    """``kind = "emorynlp"``: the folder with the three JSON files, or its parent (they lie in ``json``)."""

    kind: Literal["emorynlp"]
    root: Path


def annotation_files(root: Path) -> dict[Split, Path]:
    """The three files, at the top or in the folder ``json``.

    Raises:
        CorpusError: one is missing.
    """
    found = {}
    for split, name in FILES.items():
        path = next((place / name for place in (root, root / "json") if (place / name).is_file()), None)
        if path is None:
            raise CorpusError(f"{root}: expected {', '.join(FILES.values())}, there or in its folder json; no {name}")
        found[split] = path
    return found


def scan(settings: EmoryNlpSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of EmoryNLP. An utterance that cannot be used is listed as skipped.

    Raises:
        CorpusError: a file is missing or is laid out otherwise.
    """
    root = corpus_folder(settings.root, "EmoryNLP")
    skipped: list[Skipped] = []
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for split, path in annotation_files(root).items():
        for episode in entries(read_json(path), "episodes", path):
            for scene in entries(episode, "scenes", path):
                dialogue, turn = f"{split}/{scene.get('scene_id')}", 0
                for utterance in entries(scene, "utterances", path):
                    name = f"{split}/{utterance.get('utterance_id')}"
                    label = str(utterance.get("emotion", "")).lower()
                    if name in seen:
                        skipped.append(Skipped(name, "duplicate", "stands further up; the first one counts"))
                        continue
                    seen.add(name)
                    if label not in LABELS:
                        reason = f"expected one of {', '.join(LABELS)}, found {label!r}: it is read and not scored"
                        skipped.append(Skipped(name, "unknown_label", reason))
                        label = ""
                    speakers = " & ".join(plain(str(one)) for one in utterance.get("speakers") or [])
                    rows.append(
                        {
                            "utterance": name, "split": split.value, "dialogue": dialogue, "turn": turn,
                            "speaker": speakers, "text": plain(str(utterance.get("transcript", ""))), "label": label,
                        }
                    )  # fmt: skip
                    turn += 1
    if not rows:
        raise CorpusError(f"{root}: expected utterances in {', '.join(FILES.values())}, found none")
    return assemble("emorynlp", root, LABELS, columns_of(rows), skipped, digests=digests, progress=progress)
