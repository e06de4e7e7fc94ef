"""Small folders in IEMOCAP_full_release's layout."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.helpers.tiny_media import write_avi, write_wav


class Turn(NamedTuple):
    """One evaluated turn: its number with the speaker's letter, its label, its seconds, its transcript."""

    number: str
    label: str
    start: float
    end: float
    text: str = "Yes."


HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"


def evaluation(dialogue: str, turns: Iterable[Turn]) -> str:
    """An evaluation file: a header, then blocks of a summary line and single raters' lines."""
    blocks = [HEADER]
    for turn in turns:
        summary = (
            f"[{turn.start:.4f} - {turn.end:.4f}]\t{dialogue}_{turn.number}\t{turn.label}\t[2.5000, 2.5000, 2.5000]"
        )
        raters = ["C-E2:\tNeutral;\t()", "C-E3:\tHappiness; Excited;\t()", "A-E3:\tval 3; act 2; dom  2;\t()"]
        blocks.append("\n".join([summary, *raters, ""]))
    return "\n".join([blocks[0], "", *blocks[1:]]) + "\n"


def transcription(dialogue: str, turns: Iterable[Turn]) -> str:
    """A transcription file: one line a turn, CRLF."""
    lines = [f"{dialogue}_{turn.number} [{turn.start:08.4f}-{turn.end:08.4f}]: {turn.text}" for turn in turns]
    return "\r\n".join(lines) + "\r\n"


def write_dialogue(
    root: Path, dialogue: str, turns: Iterable[Turn], transcript: str | None = None, media: bool = False
) -> None:
    """One dialogue's files; ``transcript`` replaces the transcription file's text."""
    turns = list(turns)
    session = root / f"Session{int(dialogue[3:5])}"
    for folder in ("EmoEvaluation", "transcriptions"):
        (session / "dialog" / folder).mkdir(parents=True, exist_ok=True)
    (session / "dialog/EmoEvaluation" / f"{dialogue}.txt").write_bytes(evaluation(dialogue, turns).encode())
    text = transcription(dialogue, turns) if transcript is None else transcript
    (session / "dialog/transcriptions" / f"{dialogue}.txt").write_bytes(text.encode())
    if media:
        write_avi(session / "dialog/avi/DivX" / f"{dialogue}.avi", max(turn.end for turn in turns))
        for turn in turns:
            write_wav(session / "sentences/wav" / dialogue / f"{dialogue}_{turn.number}.wav", turn.end - turn.start)


def write_iemocap(root: Path, media: bool = False) -> Path:
    """Five sessions of one or two short dialogues each, with the clutter that a real copy holds."""
    for session in range(1, 6):
        for dialogue in (f"Ses0{session}F_impro01", f"Ses0{session}M_script01_1b")[: 2 if session == 1 else 1]:
            turns = [
                Turn("F000", "neu", 0.1, 0.4, "Excuse me."),
                Turn("M000", "fru", 0.3, 0.8, "Do you have your forms?"),
            ]
            write_dialogue(root, dialogue, turns, media=media)
        clutter = root / f"Session{session}/dialog"
        for folder in ("EmoEvaluation", "transcriptions"):
            (clutter / folder / f"._Ses0{session}F_impro01.txt").write_bytes(b"\x00\x05\x16\x07Mac OS X")
        for raters in ("Attribute", "Categorical", "Self-evaluation"):
            (clutter / "EmoEvaluation" / raters).mkdir(exist_ok=True)
            rated = clutter / "EmoEvaluation" / raters / f"Ses0{session}F_impro01_e2.txt"
            rated.write_text(f"[9.0 - 9.5]\tSes0{session}F_impro01_F009\thap\t[1, 1, 1]\n")
    return root
