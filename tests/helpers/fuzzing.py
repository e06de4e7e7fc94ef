"""Files from strangers, spoilt in many ways: every reader gives a value, or refuses in one line.

``python -m tests.helpers.fuzzing --seconds 3600`` spoils the inputs of ``tests/data/fuzz`` for so long, prints how many
were read, refused and let through something else, and keeps an input of each finding in a folder.
"""

import argparse
import contextlib
import io
import json
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bigfusion.pipeline.errors import BigFusionError

INPUTS = Path(__file__).parents[1] / "data" / "fuzz"
SLOW = 10.0
"""Seconds of processor time after which a small input is a finding as well."""
WORDS = [
    b"", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\r\n", b'"', b",", b"-1", b"0", b"1e999",
    b"NaN", b"nan", b"inf", b"-0", b"99999999999999999999", b"2147483648", b"null", b"[]", b"{}", b"{", b"]",
    b"true", b"..", b"/", b"<", b"&", b"&lt;", b"--> ", b"00:00:00,000", b"99:99:99.999", b"\xe2\x80\xa8",
    b"\xed\xa0\x80", b"\\ud800", b"\x1a", b"=", b"[", b"'", b"#", b"1_000",
]  # fmt: skip
"""What goes into an input in place of a part of it."""
Edit = tuple[int, float, float, int]
"""The kind of an edit, where it begins and how long it is (shares of the input), and a number that chooses more."""


def spoilt(payload: bytes, edits: list[Edit]) -> bytes:
    """``payload`` after ``edits``."""
    for kind, place, share, number in edits:
        at = int(place * len(payload))
        end = min(len(payload), at + 1 + int(share * share * share * len(payload)))
        part = payload[at:end]
        match kind % 7:
            case 0:
                payload = payload[:at] + payload[end:]
            case 1:
                payload = payload[:end] + part + payload[end:]
            case 2:
                payload = payload[:at] + WORDS[number % len(WORDS)] + payload[end:]
            case 3:
                payload = payload[:at] + WORDS[number % len(WORDS)] + payload[at:]
            case 4 if payload:
                at = min(at, len(payload) - 1)
                payload = payload[:at] + bytes([payload[at] ^ (1 << number % 8)]) + payload[at + 1 :]
            case 5:
                payload = payload[:at]
            case 6:
                other = int(number / 256 * len(payload))
                payload = payload[:at] + payload[other : other + len(part)] + payload[end:]
    return payload


def _features(path: Path) -> None:
    from bigfusion.pipeline.feature_files.reader import read_features

    read_features(path)


def _transcript(path: Path) -> None:
    from bigfusion.pipeline.transcripts.read import read_transcript

    read_transcript(path)


def _rttm(path: Path) -> None:
    from bigfusion.pipeline.transcripts import rttm

    rttm.read(path)


def _table(path: Path) -> None:
    from bigfusion.pipeline.corpora.table import TableSettings, scan
    from bigfusion.pipeline.digests.files import FileDigests

    scan(TableSettings(kind="table", path=path, media_root=path.parent), FileDigests())


def _manifest(path: Path) -> None:
    from bigfusion.pipeline.manifest.manifest import Manifest

    Manifest.read(path)


def _tensors(path: Path) -> None:
    from bigfusion.model.runs.tensors import count_numbers, read_tensors

    with contextlib.suppress(BigFusionError):
        count_numbers(path)
    read_tensors(path)


def _settings(path: Path) -> None:
    from bigfusion.flows.project.load import load

    load(path)


def _published(path: Path) -> None:
    """Whoever publishes a folder can make its digest right, so a spoilt ``config.json`` gets one."""
    import torch

    from bigfusion.flows.project.published import CONFIG, read_published
    from bigfusion.pipeline.digests.values import digest

    folder = path.parent / "published"
    folder.mkdir(exist_ok=True)
    try:
        content = json.loads(path.read_bytes())
        content.pop("digest", None)
        text = json.dumps(content | {"digest": digest(content)}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        text = path.read_bytes()
    (folder / CONFIG).write_bytes(text)
    (folder / "model.safetensors").write_bytes((INPUTS / "published" / "model.safetensors").read_bytes())
    read_published(folder, torch.device("cpu"))


def _run(path: Path) -> None:
    from bigfusion.model.runs.checkpoint import CheckpointFacts
    from bigfusion.model.runs.files import read_record
    from bigfusion.model.runs.folder import read_history

    if path.suffix == ".jsonl":
        (path.parent / "history.jsonl").write_bytes(path.read_bytes())
        read_history(path.parent)
    else:
        read_record(path, CheckpointFacts)


READERS: dict[str, Callable[[Path], None]] = {
    "pickles": _features,
    "parquet": _features,
    "transcripts": _transcript,
    "rttm": _rttm,
    "tables": _table,
    "manifests": _manifest,
    "tensors": _tensors,
    "settings": _settings,
    "published": _published,
    "runs": _run,
}
"""By folder of :data:`INPUTS`."""


def inputs(kind: str) -> list[Path]:
    """The committed inputs of one kind."""
    given = (path for path in (INPUTS / kind).iterdir() if path.is_file())
    return sorted(path for path in given if kind != "published" or path.suffix == ".json")


def outcome(kind: str, path: Path) -> str:
    """``read`` or ``refused``; anything else is a finding, in words."""
    begun, printed = time.process_time(), io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(printed):
            warnings.simplefilter("ignore")
            READERS[kind](path)
        found = "read"
    except BigFusionError as error:
        found = "refused" if "\n" not in str(error) and str(error) else f"not one line: {str(error)!r}"
    except Exception as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        where = ", ".join(f"{Path(frame.filename).name}:{frame.name}" for frame in own[-2:])
        found = f"{type(error).__name__} in {where}: {str(error).splitlines()[0][:90] if str(error) else ''}"
    if time.process_time() - begun > SLOW:
        return f"slow: {time.process_time() - begun:.0f} s: {found}"
    if printed.getvalue().strip():
        return f"printed beside it: {printed.getvalue().strip().splitlines()[0][:90]}: {found}"
    return found


def edits_of(dice: random.Random) -> list[Edit]:
    """One to four edits."""
    return [(dice.randrange(7), dice.random(), dice.random(), dice.randrange(256)) for _ in range(dice.randint(1, 4))]


def fuzz(kinds: list[str], seconds: float, keep: Path, seed: int) -> Iterator[tuple[str, Counter]]:
    """Spoil the inputs of each kind for its share of the time. A finding's first input is kept."""
    dice = random.Random(seed)
    for kind in kinds:
        counts: Counter = Counter()
        given = [(path, path.read_bytes()) for path in inputs(kind)]
        for path, payload in given:  # the first call imports what is slow to import
            sound = keep / f"now{path.suffix}"  # some readers get a folder made beside the file: not among the inputs
            sound.write_bytes(payload)
            outcome(kind, sound)
        end = time.monotonic() + seconds / len(kinds)
        while time.monotonic() < end:
            path, payload = dice.choice(given)
            spoiled = keep / f"now{path.suffix}"
            spoiled.write_bytes(spoilt(payload, edits_of(dice)))
            found = outcome(kind, spoiled)
            if found not in ("read", "refused") and found.split(":")[0] not in {key.split(":")[0] for key in counts}:
                (keep / f"{kind}-{len(counts)}{path.suffix}").write_bytes(spoiled.read_bytes())
            counts[found] += 1
        yield kind, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(READERS))
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for kind, counts in fuzz(given.kinds, given.seconds, given.keep, given.seed):
        total = sum(counts.values())
        print(f"{kind}: {total} inputs, {counts['read']} read, {counts['refused']} refused", flush=True)
        for found, number in counts.most_common():
            if found not in ("read", "refused"):
                wrong += number
                print(f"  {number} x {found}", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
