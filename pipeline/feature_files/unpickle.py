"""Reads pickles of plain containers, strings, numbers and NumPy arrays, without running code from the pickle.

Instances of a few classes of the field's repositories are read too, as their attributes alone (:class:`Record`).

A pickle is a program: it names functions and calls them. This module refuses every name outside a short list before the
name is looked up. The NumPy names on the list stand for functions of this module, which check their arguments. Even
NumPy's own unpickling, which trusts its input, never sees a hostile state.
"""

from __future__ import annotations

import math
import pickle
import re
import resource
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError, UnsafePickleError

ADMITTED = "plain containers, strings, numbers and NumPy arrays"
RECORDS = (("cogmen.Sample", "Sample"), ("dgcn.Sample", "Sample"))
"""Classes whose instances are read as a :class:`Record`. Nothing is imported for them."""
SPARE = 1 << 30
"""Any pickle may take this many bytes of memory, in addition to an amount that grows with its size."""

_DTYPE = re.compile(r"[biufc](1|2|4|8|16)|[SU]\d{1,6}|O8?")
_BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    ImportError, MemoryError, RecursionError,
)  # fmt: skip
"""The exceptions that a damaged pickle raises."""


class Record:
    """An instance of one of :data:`RECORDS`: its attributes, and nothing of its class."""

    __slots__ = ("fields",)

    fields: dict[str, Any]

    def __new__(cls) -> Record:
        """A pickle makes it without :meth:`__init__`."""
        record = object.__new__(cls)
        record.fields = {}
        return record

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise UnsafePickleError("refused an object that is more than its attributes")
        self.fields = state


def load(path: Path) -> Any:
    """The object in a pickle. Strings of Python 2 are read as Latin-1.

    Raises:
        UnsafePickleError: it asks for anything but :data:`ADMITTED`; the message names what. Nothing of it was run.
        CorpusError: there is no such file, or it is no pickle, or it is cut short.
    """
    try:
        with path.open("rb") as file, _bounded_memory(path.stat().st_size), _no_words_of_python():
            return _Unpickler(file, encoding="latin1").load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path}: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: expected a pickle, found {error.strerror}; check the path and its rights") from None
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorpusError(f"{path}: expected a whole pickle, found {reason}") from None


@contextmanager
def _bounded_memory(size: int) -> Iterator[None]:
    """Limits the memory to what a pickle of ``size`` bytes can honestly need: five hostile bytes may ask for 64 GB."""
    usage = Path("/proc/self/statm")
    if not usage.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(usage.read_text().split()[0]) * resource.getpagesize() + 16 * size + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _no_words_of_python() -> Iterator[None]:
    """Keep Python silent: if a bytearray is too large, it prints an error before the MemoryError."""
    hook = sys.excepthook

    def quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if kind is not SystemError:
            hook(kind, error, trace)

    sys.excepthook = quiet
    try:
        yield
    finally:
        sys.excepthook = hook


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Called for every name in a pickle."""
        package = module.replace("numpy._core.", "numpy.core.")  # its name before and since NumPy 2
        try:
            return _NAMES[package, name]
        except KeyError:
            raise UnsafePickleError(
                f"refused {module}.{name}: only {ADMITTED} are read; nothing of it was run"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Called for a reference to something outside the pickle."""
        raise UnsafePickleError(f"refused a reference to something outside the file; only {ADMITTED} are read")


class _StandIn:
    """A function under another's name. A pickle may call it but, unlike a function, cannot change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("refused to change a function")


class _Dtype:
    """A data type as the pickle describes it: a code, and a byte order that its state adds."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str) -> None:
        self._code, self._order = code, ""

    def __setstate__(self, state: Any) -> None:
        _, order, subarray, names, fields, *_ = state
        if subarray is not None or names or fields:
            raise UnsafePickleError("refused a structured NumPy array; only plain ones are read")
        self._order = _text(order) if _text(order) in ("<", ">") else ""

    def real(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _Array(np.ndarray[Any, Any]):
    """An array that a pickle builds in two steps: it is made empty, then gets its state, which is checked here."""

    def __setstate__(self, state: Any) -> None:
        *_, shape, dtype, fortran, data = state
        raw: Any = data if type(data) is list else _bytes(data)
        super().__setstate__((1, *_checked(shape, dtype), bool(fortran), raw))  # type: ignore[arg-type]


def _checked(shape: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if type(dtype) is not _Dtype or type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array without shape and type")
    return shape, dtype.real()


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    return np.ndarray.__new__(_Array, (0,), "b")


def _dtype(code: Any, *_: Any) -> _Dtype:
    if not _DTYPE.fullmatch(_text(code)):
        raise UnsafePickleError(
            f"refused a NumPy array of type {_text(code)[:40]!r}; only numbers and strings are read"
        )
    return _Dtype(_text(code))


def _scalar(dtype: Any, data: Any) -> Any:
    return _from_buffer(data, dtype, (), "C")[()]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    shape, real = _checked((shape,) if type(shape) is int else shape, dtype)
    raw = _bytes(data)
    if real.hasobject or len(raw) != math.prod(shape) * real.itemsize:
        raise ValueError("an array whose bytes do not fill its shape")
    return np.frombuffer(raw, real).reshape(shape, order="F" if order == "F" else "C").copy()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes that are not Latin-1 text")
    return text.encode("latin1")


def _bytes(data: Any = b"", *encoding: Any) -> bytes:
    """Bytes. Text is turned back into the bytes of Python 2 that Latin-1 decoded."""
    return bytes(data) if isinstance(data, bytes | bytearray) else _encode(data, *encoding)


def _text(data: Any) -> str:
    return data if type(data) is str else _bytes(data).decode("latin1")


_PLAIN = (bool, complex, dict, float, frozenset, int, list, set, str, tuple)
_NAMES: dict[tuple[str, str], Any] = {
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _PLAIN},
    **{(module, name): _StandIn(_bytes) for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): _StandIn(_encode),
    ("numpy", "ndarray"): "numpy.ndarray",  # used only as an argument of _reconstruct
    ("numpy", "dtype"): _StandIn(_dtype),
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _StandIn(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_from_buffer),
    **dict.fromkeys(RECORDS, Record),
}
"""Every name that a pickle may use, with its replacement."""
