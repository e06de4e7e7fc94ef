"""The names of the shipped presets, for code that must not import the settings."""

from __future__ import annotations

PRESETS = (
    "meld",
    "iemocap",
    "emorynlp",
    "dailydialog",
    "m3ed",
    "mosei",
    "ch_sims",
    "emodb",
    "ravdess",
    "crema_d",
    "filenames",
    "table",
    "demo",
)
TUNED, BEST, PAPER = "tuned", "best", "paper"
SEARCHED = (TUNED, BEST)
"""Those under which each network has its own numbers; they differ in BIG-FUSION's alone."""
LEARNING = (*SEARCHED, PAPER)
"""Presets of the network and its training alone: they go with any corpus."""
