"""Types of numbers that several settings classes use."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole: the paper's "40 %" is 0.4."""
Distance = Annotated[int, Field(ge=1)]
"""Between two utterances of a dialogue, in utterances."""
