"""Format numbers of what is kept on disk: a program reads its own format and every older one, and refuses a newer one.

A number rises only when a program that does not know the change would misread the file, or take it for damaged. What
has none was written before there were numbers: it is of the first format.
"""

from __future__ import annotations

from bigfusion.pipeline.errors import FormatError


def check_format(item: object, found: object, known: int) -> None:
    """Check the format number that ``item`` carries against the newest one that this program knows.

    Raises:
        FormatError: a newer version of bigfusion wrote it. Nothing may be repaired, deleted or computed again then.
    """
    if isinstance(found, int) and found > known:
        raise FormatError(
            f"{item}: expected format {known}, the newest that this version of bigfusion reads, found {found}: a newer"
            " version wrote it; use that version here (`bigfusion --version` tells this one's)"
        )
