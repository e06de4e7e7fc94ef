"""What a folder of scores says of the feature file that was scored: which it was, and whether the run knew it."""

from __future__ import annotations

from pathlib import Path

from bigfusion.model.runs.files import Record, read_record, write_record
from bigfusion.pipeline.digests.files import file_sha256

SCORED_FILE = "scored-file.json"


class ScoredFile(Record):
    """The content of ``scored-file.json``. ``sha256`` is that of the file's bytes.

    The run was trained or validated on ``seen`` of the scored ``dialogues``; ``None`` if that cannot be told.
    """

    name: str
    sha256: str
    dialogues: int
    seen: int | None

    @property
    def no_test(self) -> str:
        """Why the scores are no test, or perhaps none. Empty if they are one."""
        if self.seen is None:
            return "whether these dialogues were trained or validated on cannot be told"
        return f"{self.seen} of {self.dialogues} dialogues were trained or validated on: no test" if self.seen else ""


def write_scored_file(scores: Path, features: Path, dialogues: int, seen: int | None) -> None:
    """Record beside the scores which file was scored."""
    found = ScoredFile(name=features.name, sha256=file_sha256(features), dialogues=dialogues, seen=seen)
    write_record(scores / SCORED_FILE, found)


def is_of_file(scores: Path) -> bool:
    """Whether a folder holds the scores of a feature file, and not a run's own."""
    return scores.absolute().parent.name == "scores" and not (scores / "run.json").exists()


def read_scored_file(scores: Path) -> ScoredFile | None:
    """The file whose scores lie in a folder. ``None`` for scores of an earlier version, and for a run's own.

    Raises:
        TrainingError: the record is damaged.
    """
    return read_record(scores / SCORED_FILE, ScoredFile) if (scores / SCORED_FILE).exists() else None


def notes(first: Path, second: Path) -> list[str]:
    """What must be said beside a comparison of the scores in two folders: other files, and dialogues that a run knew.

    Raises:
        TrainingError: a record is damaged.
    """
    files = [read_scored_file(folder) for folder in (first, second)]
    unknown = dict.fromkeys(
        folder.absolute().name
        for folder, file in zip((first, second), files, strict=True)
        if file is None and is_of_file(folder)
    )
    if unknown:
        return [f"{' and '.join(unknown)}: of which file is not known, perhaps of other features; evaluate again"]
    found = []
    if len({file and file.sha256 for file in files}) > 1:
        names = [file.name if file else "its own features" for file in files]
        found.append(f"the first run scored {names[0]}, the second {names[1]}: other features may make the difference")
    places = zip(("first", "second"), files, strict=True)
    return found + [f"the {place} run: {file.no_test}" for place, file in places if file and file.no_test]
