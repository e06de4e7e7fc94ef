"""Pickles of plain containers, strings, numbers and NumPy arrays, read without running what a pickle can carry.

A pickle is a program: it names functions and calls them. Here every name outside a short list is refused before it is
looked up, and the NumPy names on the list stand for functions of this module that check what they are given, so that
not even NumPy's own unpickling (which trusts its input) sees a hostile state.
"""

from __future__ import annotations

import collections
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CorpusError, UnsafePickleError

ADMITTED = "plain containers, strings, numbers and NumPy arrays"
_DTYPE = re.compile(r"[<>|=]?([biufc](1|2|4|8|16)|[SU]\d{1,6}|O8?|\?|b|B)")
_BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError,
    OverflowError, MemoryError, RecursionError, ImportError,
)  # fmt: skip
"""What a damaged pickle may raise."""


def load(path: Path) -> Any:
    """The object in a pickle, its arrays as plain ``ndarray`` values. Python 2 strings are read as Latin-1.

    Raises:
        UnsafePickleError: it asks for anything but :data:`ADMITTED`; the message names what. Nothing of it was run.
        CorpusError: there is no such file, or it is no pickle, or it is cut short.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path}: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: expected a pickle, found {error.strerror}; check the path and its rights") from None
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorpusError(f"{path}: expected a whole pickle, found {reason}") from None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Called for every name in a pickle."""
        found = _NAMES.get((_MODULES.get(module, module), name))
        if found is None:
            raise UnsafePickleError(f"refused {module}.{name}: only {ADMITTED} are read, and nothing was run")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Called for a reference to something outside the pickle."""
        raise UnsafePickleError(f"refused a reference to something outside the file: only {ADMITTED} are read")


class _Dtype:
    """A data type as the pickle describes it: a code, and the byte order that its state adds."""

    __slots__ = ("code",)

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        code = _text(code)
        if not _DTYPE.fullmatch(code):
            raise UnsafePickleError(f"refused a NumPy array of type {code!r:.60}: only numbers and strings are read")
        self.code = code.lstrip("<>|=")

    def __setstate__(self, state: Any) -> None:
        order, subarray, names, fields = state[1:5]
        if subarray is not None or names or fields:
            raise UnsafePickleError("refused a structured NumPy array: only plain ones are read")
        if _text(order) in ("<", ">"):
            self.code = _text(order) + self.code

    @property
    def real(self) -> np.dtype[Any]:
        return np.dtype(self.code)


class _Array(np.ndarray[Any, Any]):
    """An array whose state is checked before NumPy sees it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        values = _array(data, dtype, shape, "F" if fortran else "C")
        super().__setstate__((1, values.shape, values.dtype, bool(fortran), _raw(values, bool(fortran))))

    def __reduce__(self) -> Any:  # pragma: no cover
        raise TypeError


def _raw(values: NDArray[Any], fortran: bool) -> Any:
    return values.ravel(order="F" if fortran else "C").tolist() if values.dtype == object else values.tobytes("A")
