"""The file by which a corpus is known as the demo's, for code that must not load what makes its pictures."""

from __future__ import annotations

STAMP = "demo.json"
