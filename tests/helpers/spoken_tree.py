"""Small folders in the layouts of corpora of single utterances."""

from pathlib import Path

from tests.helpers.tiny_media import write_clip, write_wav


def empty_files(root: Path, *paths: str) -> Path:
    """Files whose content no test reads, each of another content."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def write_emodb(root: Path, speakers: tuple[str, ...] = ("03", "08", "14"), media: bool = True) -> Path:
    """``wav/03a01Fa.wav``: every speaker says two texts, angry (high) and sad (low)."""
    for place, speaker in enumerate(speakers):
        for text in ("a01", "b09"):
            for letter, pitch in (("W", 700), ("T", 200)):
                path = root / "wav" / f"{speaker}{text}{letter}a.wav"
                if media:
                    write_wav(path, 0.4, pitch + 13 * place + (5 if text == "b09" else 0))
                else:
                    empty_files(root, path.relative_to(root).as_posix())
    return root


def write_ravdess(root: Path) -> Path:
    """An utterance in its three files, one as sound alone, one as video alone, a song, and an archive beside them."""
    for path in ("01-01-03-01-01-01-01.mp4", "03-01-03-01-01-01-01.wav", "02-01-03-01-01-01-01.mp4"):
        write = write_wav if path.endswith("wav") else write_clip
        write(root / ("Audio_Speech" if path.endswith("wav") else "Video_Speech") / "Actor_01" / path)
    return empty_files(
        root, "Audio_Speech/Actor_02/03-01-05-02-02-01-02.wav", "Video_Speech/Actor_02/02-01-06-01-02-02-02.mp4",
        "Audio_Song/Actor_02/03-02-04-01-01-01-02.wav", "Audio_Speech_Actors_01-24.zip",
    )  # fmt: skip


def write_crema_d(root: Path) -> Path:
    """``AudioWAV``, ``AudioMP3`` and ``VideoFlash`` of three clips, with one of them missing here and there."""
    return empty_files(
        root, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioMP3/1001_DFA_ANG_XX.mp3", "VideoFlash/1001_DFA_ANG_XX.flv",
        "AudioWAV/1001_IEO_HAP_HI.wav", "VideoFlash/1002_WSI_NEU_XX.flv", "AudioWAV/1003_ITH_SAD_X.wav",
        "README.md", "AudioWAV/._1001_IEO_HAP_HI.wav", "AudioWAV/noise.wav",
    )  # fmt: skip
