"""The command line: ``bigfusion COMMAND``. Results go to standard output, everything else to standard error.

Exit codes: 0 done; 1 an error, printed in one line (``--debug`` shows its traceback); 2 (``plan``) work is pending;
3 (``fsck``) damage was found; 130 and 143 stopped by Ctrl-C or SIGTERM, and all finished work is kept.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from bigfusion.flows import logs
from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.parser import command, parse
from bigfusion.flows.garbage import collect_all_rarely
from bigfusion.flows.stopping import say, stoppable
from bigfusion.pipeline.atomic import PARTIAL, write_whole
from bigfusion.pipeline.errors import BigFusionError
from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

_ADVICE = {
    errno.ENOENT: "correct the path",
    errno.ENOTDIR: "name another place",
    errno.EISDIR: "name a file",
    errno.EACCES: "correct the permissions, or name another place",
    errno.EPERM: "correct the permissions, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
}
"""What a user can do about an error of the system."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    collect_all_rarely()
    given = vars(parse(sys.argv[1:] if arguments is None else arguments))
    common = Common(**{field.name: given.pop(field.name) for field in fields(Common)})
    name = given.pop("command")
    logs.set_up(common.debug, common.log_json)
    try:
        with stoppable():
            answer = command(name).run(common, **given)
        _show(answer, common.json)
    except KeyboardInterrupt as stopped:
        return say(stopped)
    except (BigFusionError, OSError) as error:
        if common.debug:
            raise
        for line in error.lines if isinstance(error, BigFusionError) and error.lines else (_one_line(error),):
            if common.log_json:
                log.error("%s", line)
            else:
                print(f"bigfusion: {line}", file=sys.stderr)
        return 1
    except ImportError as error:
        remedy = _remedy(error)
        if common.debug or remedy is None:
            raise
        print(f"bigfusion: {_one_line(error)}; {remedy}", file=sys.stderr)
        return 1
    return answer.code


def _show(answer: Answer, as_json: bool) -> None:
    try:
        print(json.dumps(answer.data, indent=2, ensure_ascii=False) if as_json else answer.text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone; the rest of the buffer must not be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _remedy(error: ImportError) -> str | None:
    """How to install a library that this machine lacks. ``None`` if the import itself is wrong."""
    from bigfusion.pipeline.digests.imports import PACKAGES

    if ".so" in str(error):
        return "install that system library (OpenCV's come with `apt install libgl1 libglib2.0-0`)"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in PACKAGES:
        return "install the project's dependencies (`make`, or `pip install -e .`)"
    return None


def _one_line(error: BaseException) -> str:
    """What an error says. An error of the system names its file; a temporary file stands for the one to be written."""
    if isinstance(error, OSError) and error.strerror and (name := error.filename or _being_written(error)) is not None:
        path = Path(os.fsdecode(name)) if isinstance(name, str | bytes) else Path("?")
        if path.name.startswith(".") and path.name.endswith(PARTIAL):
            path = path.with_name(path.name.removeprefix(".").removesuffix(PARTIAL).rpartition(".")[0])
        return f"{path}: {error.strerror}; {_ADVICE.get(error.errno or 0, 'name another place, or see why it fails')}"
    return reason(error)


def _being_written(error: OSError) -> str | None:
    """The file that :func:`write_whole` was writing. A full disk fails on an open file, and that error names none."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return next((str(frame.f_locals["path"]) for frame in frames if frame.f_code is write_whole.__code__), None)


if __name__ == "__main__":
    raise SystemExit(main())
