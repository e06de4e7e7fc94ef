"""M3ED: 24,449 utterances of Chinese TV dialogues, one JSON file and clips -> a manifest.

``annotation.json`` maps a series to its dialogues, a dialogue to ``Dialog`` (utterance -> Speaker, Text, StartTime,
EndTime, EmoAnnotation.final_main_emo) and ``SpeakerInfo``. ``splitInfo/movie_list_train.txt``, ``_val.txt`` and
``_test.txt`` deal whole series. An utterance's sound is ``SPEAKER_UTTERANCE.wav`` in whatever folder, such as
``modality_speech``; a video of the same name is its picture. Fields, lists and the wavs' names are those that four
public readers of the release use; the videos' names could not be verified.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from bigfusion.pipeline.corpora.base import Progress, assemble, columns_of, corpus_folder, silent
from bigfusion.pipeline.corpora.json_files import mapping, read_json
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.corpora.utterance_files import media_files
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.media.endings import SOUND
from bigfusion.pipeline.schema import Skipped, Split
from bigfusion.pipeline.tables.encoding import plain, read

LISTS = {Split.TRAIN: "movie_list_train.txt", Split.VALID: "movie_list_val.txt", Split.TEST: "movie_list_test.txt"}
LABELS = ("happy", "neutral", "sad", "disgust", "anger", "fear", "surprise")


class M3edSettings(MappedSettings):
    """``kind = "m3ed"``: the folder with ``annotation.json``, ``splitInfo`` and the clips."""

    kind: Literal["m3ed"]
    root: Path


def scan(settings: M3edSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of M3ED, its media present or not. A row that cannot be used is listed as skipped.

    Raises:
        CorpusError: a file is missing or is laid out otherwise.
    """
    root = corpus_folder(settings.root, "M3ED")
    path = root / "annotation.json"
    splits = _splits(root)
    clips = _clips(root)
    series = read_json(path)
    skipped: list[Skipped] = []
    rows: list[dict[str, Any]] = []
    for name in series if isinstance(series, dict) else ():
        if name not in splits:
            skipped.append(Skipped(str(name), "no_split", f"expected the series in one of {', '.join(LISTS.values())}"))
            continue
        for dialogue, content in mapping(series, name, path).items():
            for turn, (utterance, said) in enumerate(mapping(content, "Dialog", path).items()):
                place = {"split": splits[name].value, "dialogue": f"{name}/{dialogue}", "turn": turn}
                rows.append({**place, **_row(f"{name}/{dialogue}", utterance, said, clips, skipped)})
    if not rows:
        raise CorpusError(f"{path}: expected series with dialogues, found none")
    order = list(Split)
    rows.sort(key=lambda row: order.index(Split(row["split"])))  # stable: the file's order within a split
    return assemble("m3ed", root, LABELS, columns_of(rows), skipped, digests=digests, progress=progress)


def _row(
    dialogue: str, utterance: str, said: dict[str, Any], clips: dict[str, tuple[str, str]], skipped: list[Skipped]
) -> dict[str, Any]:
    """Who says what in an utterance, its label and its files."""
    speaker = plain(str(said.get("Speaker", "")))
    annotation = said.get("EmoAnnotation")
    label = str(annotation.get("final_main_emo", "")).lower() if isinstance(annotation, dict) else ""
    if label not in LABELS:
        reason = f"expected one of {', '.join(LABELS)}, found {label!r}: it is read and not scored"
        skipped.append(Skipped(f"{dialogue}/{utterance}", "unknown_label", reason))
        label = ""
    clip = f"{speaker}_{utterance}"
    audio, visual = clips.get(clip, (f"modality_speech/{clip}.wav", ""))
    return {
        "utterance": f"{dialogue}/{utterance}",
        "speaker": f"{dialogue}/{speaker}",
        "text": plain(str(said.get("Text", ""))),
        "label": label,
        "audio_path": audio,
        "visual_path": visual,
    }


def _splits(root: Path) -> dict[str, Split]:
    """The split of each series."""
    found: dict[str, Split] = {}
    for split, name in LISTS.items():
        path = root / "splitInfo" / name
        if not path.is_file():
            raise CorpusError(f"{path}: no such file; expected the lists of series {', '.join(LISTS.values())}")
        for line in filter(None, map(str.strip, read(path, mojibake=False).splitlines())):
            if found.setdefault(line, split) is not split:
                raise CorpusError(
                    f"{path}: expected the series {line} in one list, found it in {LISTS[found[line]]} too"
                )
    return found


def _clips(root: Path) -> dict[str, tuple[str, str]]:
    """The sound and the picture of each clip that lies below ``root``, by the file's name without its ending."""
    found: dict[str, tuple[str, str]] = {}
    for path, suffix in media_files(root):
        name = Path(path).stem
        audio, visual = found.get(name, ("", ""))
        found[name] = (audio or path, visual) if suffix.lower() in SOUND else (audio, visual or path)
    return {name: (audio or visual, visual) for name, (audio, visual) in found.items()}
