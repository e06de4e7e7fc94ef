"""A store's objects in an S3 bucket: ``s3://bucket/prefix``, on Amazon's service or any that speaks its protocol.

The address may end in ``?endpoint_override=http://host:9000&region=eu-central-1``. It never contains credentials. They
come from the environment (``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``, or the machine's role).
Endpoint and region also come from there (``AWS_ENDPOINT_URL``, ``AWS_REGION``) if the address names none. An object
appears when its upload is complete. The client retries after errors that may pass (no connection, throttling, an
internal error of the server).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

from bigfusion.pipeline.store.objects import Entry

SCHEME = "s3://"
_READERS = 16
_ATTEMPTS = 4  # about five seconds; after a longer failure the whole chunk is tried again
_READS = 4
_CONNECT_SECONDS, _REQUEST_SECONDS = 5, 60
_QUERY = {"endpoint_override", "region", "scheme"}
_AWS_ERROR = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during (\w+)(?: operation)?:? ?(.*)", re.DOTALL)
_GONE = re.compile(r"AWS Error (RESOURCE_NOT_FOUND|NO_SUCH_KEY)\b")


@dataclass(frozen=True)
class Address:
    """The address of a bucket. ``endpoint`` is a host and port, empty for Amazon's own."""

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    scheme: str = ""

    def key(self, key: str) -> str:
        """Bucket and whole key, in the form that the client expects."""
        return "/".join(part for part in (self.bucket, self.prefix, key) if part)


def address(url: str) -> Address:
    """Read ``s3://bucket/prefix?endpoint_override=...&region=...``.

    Raises:
        ValueError: it is something else, or holds credentials.
    """
    parts = urlsplit(url)
    if "#" in url:
        raise ValueError("expected s3://BUCKET/PREFIX without a #, found one")
    if parts.scheme != "s3" or not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
        found = "credentials in it" if "@" in parts.netloc else repr(url)
        raise ValueError(
            f"expected s3://BUCKET/PREFIX, its credentials in the environment (AWS_ACCESS_KEY_ID), found {found}"
        )
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := query.keys() - _QUERY:
        raise ValueError(f"expected {', '.join(sorted(_QUERY))} after the ?, found {', '.join(sorted(unknown))}")
    if "@" in query.get("endpoint_override", ""):
        raise ValueError(
            "expected http://HOST:PORT as endpoint_override, found credentials in it; see AWS_ACCESS_KEY_ID"
        )
    prefix = parts.path.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ValueError(f"expected a prefix without empty, . and .. parts, found {prefix!r}")
    scheme, _, endpoint = query.get("endpoint_override", "").rpartition("://")
    return Address(parts.netloc, prefix, endpoint, query.get("region", ""), query.get("scheme", scheme))


class Bucket:
    """Objects under a prefix of one bucket, with the operations of :class:`Objects`."""

    readers = _READERS

    def __init__(self, url: str) -> None:
        self._at = address(url)
        self._files = _client(self._at)

    def there(self) -> bool:
        """Whether the bucket exists."""
        from pyarrow.fs import FileType

        with self._told(""):
            return bool(self._files.get_file_info(self._at.bucket).type == FileType.Directory)

    def names(self, folder: str) -> list[str]:
        """The names under a folder's prefix."""
        return [entry.key.rpartition("/")[2] for entry in self.entries(folder)]

    def entries(self, folder: str) -> list[Entry]:
        """The objects under a folder's prefix, by name."""
        from pyarrow.fs import FileSelector

        with self._told(folder):
            found = self._files.get_file_info(FileSelector(self._at.key(folder), allow_not_found=True))
        files = (info for info in found if info.is_file)
        return sorted(Entry(f"{folder}/{info.base_name}", info.size, info.mtime.timestamp()) for info in files)

    def read(self, key: str) -> bytes:
        """An object's bytes. If the answer breaks off, the read is repeated.

        The client asks for the size first, then for so many bytes. If the object was replaced in between, its end is
        missing, or is whatever lay in memory: the caller verifies what it reads.
        """
        for attempt in range(_READS):
            try:
                with self._told(key), self._files.open_input_stream(self._at.key(key)) as stream:
                    payload: bytes = stream.read()
                    return payload
            except OSError as error:
                if attempt + 1 == _READS or "response stream" not in str(error.strerror):
                    raise
        raise AssertionError  # the last attempt returns or raises

    def write(self, key: str, payload: bytes) -> None:
        """Upload an object; nobody sees it before it is complete."""
        with self._told(key), self._files.open_output_stream(self._at.key(key)) as stream:
            stream.write(payload)

    def move(self, key: str, target: str) -> None:
        """Copy an object within the bucket, then delete it under its old key."""
        with self._told(key):
            self._files.move(self._at.key(key), self._at.key(target))

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects, several at a time."""
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(self._remove, keys))

    def _remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._told(key):
            self._files.delete_file(self._at.key(key))

    def shown(self, key: str) -> str:
        """The object's address."""
        return f"{SCHEME}{self._at.key(key)}"

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Turn errors into those that the store expects: one line, with a number."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such object", self.shown(key)) from None
        except (OSError, pa.ArrowException) as error:
            if _GONE.search(str(error)):  # removed between the client's two requests, for its size and for its bytes
                raise FileNotFoundError(errno.ENOENT, "no such object", self.shown(key)) from None
            raise OSError(errno.EIO, brief(str(error)), self.shown(key)) from error


def brief(message: str) -> str:
    """The client's error message, on one line."""
    found = _AWS_ERROR.search(message)
    if found is None:
        return " ".join(message.split())[:200]
    what, status, operation, detail = found.groups()
    text = f"{operation}: {what}{f' (HTTP {status})' if status else ''}: {' '.join(detail.split())}"[:240].rstrip(": ")
    if what in ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "MISSING_AUTHENTICATION_TOKEN"):
        text += "; credentials come from the environment, see AWS_ACCESS_KEY_ID"
    return text


@cache
def _client(at: Address) -> Any:
    """One client for each process and endpoint. Threads may share it, and making one takes a second."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    given = at.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    scheme, _, endpoint = given.rpartition("://")
    return S3FileSystem(
        endpoint_override=endpoint or None,
        scheme=at.scheme or scheme or "https",
        region=at.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # each shard is one request
    )
