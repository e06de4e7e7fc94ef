"""The colours that the pages share: on a light screen, on a dark one, on paper."""

from __future__ import annotations

_LIGHT = """--page: #fff; --ink: #1f2933; --soft: #5b6875; --rule: #dde3ea; --wash: #f4f6f9;
  --accent: #2b5c8a; --on-accent: #fff; --warn: #fdf3ee; --warn-rule: #c8643c; --demo: #fff8e1; --demo-rule: #d9a520;
  --shade: #2b5c8a; --on-shade: #fff;"""
_DARK = """--page: #14181d; --ink: #e3e8ee; --soft: #9aa7b4; --rule: #313a44; --wash: #1d232a;
  --accent: #7fb0dd; --on-accent: #10151a; --warn: #33231b; --warn-rule: #d98255; --demo: #2d2714; --demo-rule: #b8901f;
  --shade: #8fbde6; --on-shade: #10151a;"""

THEME = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ color-scheme: light; {_LIGHT} }} }}
"""
