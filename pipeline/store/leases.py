"""Claims on cells in a bucket, which has no locks: small objects that their holders keep rewriting.

Each holder has one object under ``claims/`` that lists its cells. Two rules keep holders apart, on any store whose
listing shows what was written before. First, write what you want before you look. Second, when you have looked: leave
what another holder *holds*; leave what another with a smaller name *wants*; and wait until a holder with a larger name
has decided. Age is measured by the store's own clock, so the clocks of two machines are never compared. A claim that
seems not to have been rewritten for ``lease`` seconds, or to be from the future, is watched: that clock may have
jumped. If its holder gives no sign for ``lease`` more seconds, by this process's own watch, it is dead. As with
:mod:`store.claims`, a claim only saves work.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bigfusion.pipeline.store.objects import Entry, Objects

log = logging.getLogger("bigfusion.store")

FOLDER = "claims"
LEASE, PULSE = 20.0, 4.0
"""Seconds: after how many without a sign a holder counts as dead, and how often it gives one."""
_POLL = 0.2
_watched: dict[str, tuple[float, float]] = {}
"""Claims of holders that may be dead: the time of writing, and when this process first saw it, by its own watch."""


class Leases:
    """Claims on cells of one shard folder."""

    def __init__(self, objects: Objects, lease: float = LEASE, pulse: float = PULSE) -> None:
        self._objects, self._lease, self._pulse = objects, lease, pulse

    def close(self) -> None:
        """Does nothing: no claim outlives :meth:`take`."""

    @contextmanager
    def take(self, fingerprints: Iterable[str]) -> Iterator[set[str]]:
        """Claim the ``fingerprints`` that nobody else holds, for the duration of the block.

        Waits for other holders that have not decided yet. That takes a few requests.

        Raises:
            OSError: the bucket does not answer.
        """
        claim = _Claim(self._objects, set(fingerprints))
        claim.write()
        over = threading.Event()
        keeping = threading.Thread(target=self._keep, args=(claim, over), daemon=True)
        keeping.start()
        try:
            self._settle(claim)
            yield set(claim.cells)
        finally:
            over.set()
            keeping.join()
            with contextlib.suppress(OSError):  # if this fails, the claim expires by itself
                self._objects.remove([claim.key])

    def _settle(self, claim: _Claim) -> None:
        while True:
            undecided = False
            taken: set[str] = set()
            for name, holds, cells in self._others(claim):
                if holds or name < claim.key:
                    taken |= cells & claim.cells
                elif cells & claim.cells:
                    undecided = True
            if not undecided:
                claim.settle(claim.cells - taken)
                return
            if taken:
                claim.narrow(claim.cells - taken)
            time.sleep(_POLL)

    def _others(self, claim: _Claim) -> Iterator[tuple[str, bool, set[str]]]:
        entries = self._objects.entries(FOLDER)
        while not (mine := [entry for entry in entries if entry.key == claim.key]):
            claim.write()  # another process took this one for dead, and may hold its cells by now
            time.sleep(_POLL)
            entries = self._objects.entries(FOLDER)
        now = mine[0].modified
        for entry in entries:
            if entry.key == claim.key:
                continue
            if self._is_dead(entry, now):
                self._bury(entry)
                continue
            try:
                content = json.loads(self._objects.read(entry.key))
                yield entry.key, bool(content["holds"]), set(content["cells"])
            except FileNotFoundError:  # that claim has ended
                continue
            except (ValueError, KeyError, TypeError):
                log.debug("%s: not a claim; left alone", self._objects.shown(entry.key))

    def _is_dead(self, entry: Entry, now: float) -> bool:
        key = self._objects.shown(entry.key)
        if abs(now - entry.modified) <= self._lease:
            _watched.pop(key, None)
            return False
        seen = time.monotonic()
        written, since = _watched.get(key, (entry.modified, seen))
        if written != entry.modified:  # a sign of life
            since = seen
        _watched[key] = entry.modified, since
        return seen - since > self._lease

    def _bury(self, entry: Entry) -> None:
        _watched.pop(self._objects.shown(entry.key), None)
        log.info("a run that held cells has been silent for %.0f s: they are free", self._lease)
        with contextlib.suppress(OSError):
            self._objects.remove([entry.key])

    def _keep(self, claim: _Claim, over: threading.Event) -> None:
        while not over.wait(self._pulse):
            try:
                claim.write()
            except OSError as error:
                log.debug("a claim could not be kept up (%s)", error.strerror)


class _Claim:
    """One holder's object. Two threads write it: the one that settles it and the one that keeps it alive."""

    def __init__(self, objects: Objects, cells: set[str]) -> None:
        self.key = f"{FOLDER}/{uuid.uuid4().hex}"
        self.cells = cells
        self._bytes = 0  # size of the first version: a reader asks for the size, then for as many bytes
        self._holds = False
        self._objects = objects
        self._lock = threading.Lock()

    def write(self) -> None:
        with self._lock:
            content = json.dumps({"holds": self._holds, "cells": sorted(self.cells)}).encode()
            self._bytes = self._bytes or len(content)
            self._objects.write(self.key, content.ljust(self._bytes))

    def narrow(self, cells: set[str]) -> None:
        with self._lock:
            self.cells = cells
        self.write()

    def settle(self, cells: set[str]) -> None:
        with self._lock:
            self.cells, self._holds = cells, True
        self.write()
