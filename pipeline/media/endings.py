"""The endings of sound and video files, for what is looked for in folders. What a file is, its bytes say."""

from __future__ import annotations

SOUND = (
    ".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".opus",
    ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".wv", ".caf", ".au", ".sph", ".oga", ".spx", ".m4b", ".mka", ".wma",
    ".ac3", ".eac3", ".mp2", ".amr",
)  # fmt: skip
"""The endings of sound, usual and better ones first: of the same utterance in two of them the first counts."""

RARE_VIDEO = (
    ".m4v", ".f4v", ".qt", ".3gp", ".3g2", ".wmv", ".asf", ".ts", ".mts", ".m2ts", ".vob", ".ogv", ".mxf", ".dv",
)  # fmt: skip
VIDEO = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".flv", ".mpg", ".mpeg", *RARE_VIDEO)

UNREAD = (
    ".ape", ".dss", ".ds2", ".dts", ".gsm", ".mpc", ".nut", ".pcm", ".ra", ".raw", ".rm", ".rmvb", ".shn", ".tak",
    ".tta", ".voc", ".vox",
)  # fmt: skip
"""The endings of sound and video that is not read here."""

CONVERT = "convert it to wav or mp4"
"""The remedy for such a file."""
