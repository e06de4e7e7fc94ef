"""Many processes at one store for a while, killed at random: extraction, compaction, gc, fsck and reads.

``python -m tests.helpers.store_soak FOLDER --seconds 1800`` prints the counts as JSON.

A cell is promised once its commit has returned. At the end every promised cell must be read, with its numbers, by a
machine that has never seen the store.
"""

import argparse
import json
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, key, origin

CHUNK = 8
ROLES = ("extract", "extract", "extract", "extract", "compact", "gc", "fsck", "read")
UPKEEP = ("compact", "gc", "fsck")
"""Roles that are killed less often: an operation of theirs takes many seconds on a busy machine, and has to end."""
STUCK = 120.0
"""Seconds after which one operation counts as stuck: by the clock, if it used no processor time in them (it waits for
what never comes), or of processor time (it goes round). A machine that is busy with other work makes nobody stuck.
"""
GRACE = 5.0
"""Seconds that gc spares an object. (The product spares it for a day.)"""
CHUNKS_A_SECOND = 20
"""Chunks that can be computed, for each second: more than are reached on a disk that syncs."""


@dataclass
class Counts:
    """What a soak did and found."""

    seconds: float = 0.0
    kills: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    shards: int = 0
    lost: int = 0
    wrong: int = 0
    stuck: int = 0
    longest: float = 0.0
    """Seconds by the clock that the longest operation took, as far as it was seen."""
    broken: list[str] = field(default_factory=list)


@dataclass
class Mark:
    """What was seen of an operation of a process: processor time at first and at last, and when that last rose."""

    child: int
    begun: float
    first: float
    used: float
    moved: float
    told: bool = False


def processor_time(process: int) -> float:
    """Seconds of processor time of a process, with all its threads; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def chunk(number: int) -> list[str]:
    """The names of a chunk's cells."""
    return [f"{number}-{n}" for n in range(CHUNK)]


def numbers(name: str) -> np.ndarray | None:
    """The vector of a cell, (8,), or ``None`` for those that fail."""
    digits = bytes.fromhex(key(name))
    return None if digits[0] % 13 == 0 else np.frombuffer(digits, np.uint8)[:8].astype(np.float32)


def computed(name: str):
    vector = numbers(name)
    return cell(name, status=Status.SILENT, reason="flat") if vector is None else cell(name, vector)


def wrong(store: Store, names: list[str]) -> list[str]:
    """Which of these promised cells are not read as they were computed."""
    keys = [key(name) for name in names]
    statuses = store.statuses(keys)
    found = [name for name, one in zip(names, keys, strict=True) if one not in statuses]
    if found:
        return [f"lost {name}" for name in found]
    features = store.read(Modality.AUDIO, keys)
    for row, name in enumerate(names):
        expected = numbers(name)
        if features.present[row] != (expected is not None):
            found.append(f"wrong {name}: present {features.present[row]}")
        elif expected is not None and not np.array_equal(features.values[row], expected):
            found.append(f"wrong {name}: {features.values[row]}")
    return found


class Soak:
    """One store under ``folder``, two indexes, and the processes that work on it."""

    def __init__(self, folder: Path, seconds: float, seed: int = 0) -> None:
        self.store, self.seconds = folder / "store", seconds
        self.indexes = [folder / f"{name}.sqlite" for name in "ab"]
        self.promises, self.findings = folder / "promised", folder / "findings"
        self.dice = random.Random(seed)
        self.beats = mmap.mmap(-1, 16 * len(ROLES))  # when a process began its operation, and how many it has done
        self.counts = Counts()
        self.marks: dict[int, Mark] = {}
        self.universe = max(500, int(CHUNKS_A_SECOND * seconds))
        self.reached = {bytes.fromhex(key(name)) for number in range(self.universe) for name in chunk(number)}

    def _append(self, path: Path, line: str) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def _promised(self) -> list[int]:
        return [int(line) for line in self.promises.read_text().split()] if self.promises.exists() else []

    def _work(self, place: int, seed: int) -> None:
        """The life of one process."""
        role, dice, index = ROLES[place], random.Random(seed), self.indexes[place % 2]
        _, done = struct.unpack_from("dq", self.beats, 16 * place)
        while True:
            struct.pack_into("dq", self.beats, 16 * place, time.monotonic(), done)
            getattr(self, f"_{role}")(index, dice)
            done += 1
            struct.pack_into("dq", self.beats, 16 * place, time.monotonic(), done)

    def _extract(self, index: Path, dice: random.Random) -> None:
        number = dice.randrange(self.universe)
        names = chunk(number)
        with ShardFolder(self.store).claims().take(map(key, names)) as mine, Store(self.store, index) as store:
            known = store.statuses(map(key, names))
            missing = [name for name in names if key(name) in mine and key(name) not in known]
            if missing:
                stamp = f"2026-01-01T00:00:{time.monotonic():020.9f}"
                store.commit(origin(run=str(os.getpid()), created=stamp), [computed(name) for name in missing])
                if len(missing) == len(names):
                    self._append(self.promises, str(number))

    def _compact(self, index: Path, dice: random.Random) -> None:
        with Store(self.store, index) as store:
            compact(store, dice.choice((2**15, 2**17)))
        time.sleep(0.5)

    def _gc(self, index: Path, dice: random.Random) -> None:
        with Store(self.store, index) as store:
            remove(store, find_garbage(store, self.reached, GRACE))
        time.sleep(0.5)

    def _fsck(self, index: Path, dice: random.Random) -> None:
        if not self.store.exists():
            return
        report = fsck(self.store, index, sample=0.2)
        for finding in report.findings:
            self._append(self.findings, f"fsck: {finding}".replace("\n", " "))
        time.sleep(0.2)

    def _read(self, index: Path, dice: random.Random) -> None:
        promised = self._promised()
        if not promised:
            return
        with Store(self.store, index) as store:
            for number in dice.sample(promised, min(20, len(promised))):
                for line in wrong(store, chunk(number)):
                    self._append(self.findings, line)

    def _started(self, place: int) -> int:
        seed = self.dice.getrandbits(64)
        child = os.fork()
        if child:
            return child
        try:
            self._work(place, seed)
        except BaseException:
            self._append(self.findings, f"{ROLES[place]}: " + traceback.format_exc().replace("\n", " | "))
        finally:
            os._exit(1)

    def run(self) -> Counts:
        """Run, kill, look, and count."""
        begun, counts = time.monotonic(), self.counts
        self.store.mkdir(parents=True, exist_ok=True)
        children = [self._started(place) for place in range(len(ROLES))]
        try:
            while time.monotonic() - begun < self.seconds:
                time.sleep(self.dice.uniform(0.1, 0.8))
                place = self.dice.choices(range(len(ROLES)), [1 if role in UPKEEP else 8 for role in ROLES])[0]
                os.kill(children[place], signal.SIGKILL)
                os.waitpid(children[place], 0)
                counts.kills += 1
                self._count_stuck(children)
                children[place] = self._started(place)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        counts.seconds = round(time.monotonic() - begun, 1)
        self._look()
        return counts

    def _count_stuck(self, children: list[int]) -> None:
        for place, child in enumerate(children):
            begun, _ = struct.unpack_from("dq", self.beats, 16 * place)
            now, used = time.monotonic(), processor_time(child)
            before = self.marks.get(place)
            if before is None or (before.child, before.begun) != (child, begun):
                self.marks[place] = Mark(child, begun, used, used, now)
                continue
            if used > before.used:
                before.used, before.moved = used, now
            self.counts.longest = max(self.counts.longest, round(now - begun, 1))
            if not before.told and (now - before.moved > STUCK or used - before.first > STUCK):
                before.told = True
                self.counts.stuck += 1
                line = (
                    f"{ROLES[place]}: an operation since {now - begun:.0f} s, with {used - before.first:.0f} s of work"
                )
                self._append(self.findings, line)

    def _look(self) -> None:
        """Ask a machine that knows nothing of it for every promised cell."""
        counts, promised = self.counts, self._promised()
        counts.promised = CHUNK * len(promised)
        for place, role in enumerate(ROLES):
            counts.operations[role] = (
                counts.operations.get(role, 0) + struct.unpack_from("dq", self.beats, 16 * place)[1]
            )
        fresh = self.store.parent / "fresh.sqlite"
        with Store(self.store, fresh) as store:
            found = [line for number in promised for line in wrong(store, chunk(number))]
            counts.shards = store.info()["shards"]
        if self.findings.exists():
            found += self.findings.read_text().splitlines()
        for index in (*self.indexes, fresh):
            found += [f"fsck: {finding}" for finding in fsck(self.store, index).findings]
        counts.lost = sum(line.startswith("lost ") for line in found)
        counts.wrong = sum(line.startswith("wrong ") for line in found)
        counts.broken = [line for line in found if not line.startswith(("lost ", "wrong "))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="default: a temporary one")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as other:
        counts = Soak(given.folder or Path(other), given.seconds, given.seed).run()
    json.dump(asdict(counts), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
