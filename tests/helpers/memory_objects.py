"""Objects in memory in place of a bucket, for tests of what may happen between two steps."""

import random
import threading
import time

from bigfusion.pipeline.store.objects import Entry


class Memory:
    """Objects in memory that show at once what was written, and let other threads run between any two steps."""

    def __init__(self, seed: int) -> None:
        self._objects, self._lock, self._dice = {}, threading.Lock(), random.Random(seed)
        self.ahead = 0.0  # seconds by which the store's clock is ahead

    def _pause(self) -> None:
        time.sleep(self._dice.random() * 0.003)

    def entries(self, folder):
        self._pause()
        with self._lock:
            found = [Entry(key, len(payload), when) for key, (payload, when) in self._objects.items()]
        self._pause()
        return found

    def read(self, key):
        self._pause()
        with self._lock:
            if key not in self._objects:
                raise FileNotFoundError(key)
            return self._objects[key][0]

    def write(self, key, payload):
        self._pause()
        with self._lock:
            self._objects[key] = (payload, time.time() + self.ahead)
        self._pause()

    def remove(self, keys):
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def shown(self, key):
        return key
