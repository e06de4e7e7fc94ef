import builtins
import collections
import contextlib
import datetime
import decimal
import io
import os
import pickle
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.unpickle import load

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def through(path: Path, data: bytes):
    path.write_bytes(data)
    return load(path)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "f.pkl"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_numbers(path, protocol):
    value = {
        "a": [1, -2.5, None, True, 2**80, "ü", b"\xff\0", b"", (), (1, (2,))],
        "b": {1, 2}, "c": frozenset("x"), "d": collections.OrderedDict(z=1), "e": 1 + 2j, "f": bytearray(b"z"),
        3: collections.defaultdict(list, {1: [2]}),
    }  # fmt: skip
    found = through(path, pickle.dumps(value, protocol=protocol))
    assert bytes(found.pop("f")) == bytes(value.pop("f"))
    assert found == value


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(24, dtype=np.int8).reshape(2, 3, 4)[:, ::2], np.zeros((0, 4), np.float16), np.array(3.5),
    np.arange(3, dtype=">i4"), np.array(["ab", "é"]), np.array([b"x", b"yz"]), np.array([True, False]),
    np.array([1 + 2j]), np.array([1, "a", None, [2]], dtype=object), np.float32(1.5), np.int64(-3), np.str_("é"),
]  # fmt: skip


@pytest.mark.parametrize("module", [b"numpy._core", b"numpy.core"], ids=["NumPy 2", "NumPy 1"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_scalars(path, protocol, module):
    for array in ARRAYS:
        data = pickle.dumps(array, protocol=protocol)
        if module == b"numpy.core":
            data = (
                data.replace(b"\x16numpy._core", b"\x15numpy.core")
                if protocol >= 4
                else data.replace(b"._core", b".core")
            )
            data = renamed(data)
        found = np.asarray(through(path, data))
        assert found.dtype.kind == array.dtype.kind
        np.testing.assert_array_equal(found, array)


def renamed(data: bytes) -> bytes:
    """``numpy._core.`` names as NumPy 1 wrote them, their lengths in the pickle set right."""
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        new = name.replace(b"_core", b"core")
        data = data.replace(bytes([len(name)]) + name, bytes([len(new)]) + new).replace(name, new)
    frame = data.find(b"\x95")
    if data[:2] >= b"\x80\x04" and frame == 2:
        data = data[:3] + struct.pack("<Q", len(data) - 11) + data[11:]
    return data


PYTHON2_ARRAY = (  # numpy.array([1.0, 2.0], dtype='float32') and a str, written by Python 2.7 at protocol 2
    b"\x80\x02]q\x00(cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    b"(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    b"K\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbU\x03it\x92e."
)


def test_a_pickle_of_python_2(path):
    array, text = through(path, PYTHON2_ARRAY)
    np.testing.assert_array_equal(np.asarray(array), np.array([1, 2], np.float32))
    assert text == "it\x92"


class Payload:
    """Runs ``call(*args)`` wherever it is unpickled by plain pickle."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


HOSTILE = {
    "os.system": (os.system, "touch {}"),
    "builtins.eval": (eval, "open({!r}, 'w')"),
    "builtins.exec": (exec, "open({!r}, 'w')"),
    "io.open": (io.open, "{}", "w"),
    "builtins.getattr": (getattr, "x", "upper"),
    "builtins.__import__": (builtins.__import__, "os"),
    "numpy.fromfile": (np.fromfile, "{}"),
    "datetime.date": (datetime.date, 2020, 1, 1),
    "decimal.Decimal": (decimal.Decimal, "1"),
    "builtins.range": (range, 10**12),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(("call", "args"), [(v[0], v[1:]) for v in HOSTILE.values()], ids=HOSTILE)
def test_a_call_is_refused_by_name_and_not_made(path, tmp_path, call, args, protocol):
    mark = tmp_path / "mark"
    args = tuple(arg.format(str(mark)) if isinstance(arg, str) else arg for arg in args)
    deep = {"Ses01F_impro01": [np.zeros(3), (Payload(call, *args),)]}
    with pytest.raises(UnsafePickleError) as error:
        through(path, pickle.dumps(deep, protocol=protocol))
    assert not mark.exists()
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: refused ")
    assert call.__name__ in str(error.value)


def stack_global(module: str, name: str) -> bytes:
    def text(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    return text(module) + text(name) + b"\x93"


BY_HAND = {
    "dotted name": b"\x80\x04" + stack_global("numpy", "ndarray.tofile") + b".",
    "module as a name": b"\x80\x04" + stack_global("builtins", "__builtins__") + b".",
    "attribute of an admitted name": b"\x80\x04" + stack_global("builtins", "dict.__class__") + b".",
    "torch": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",
    "INST": b"(S'echo'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'echo'\no.",
    "persistent": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "copyreg": b"\x80\x02ccopy_reg\n_reconstructor\n.",
    "numpy.core alias": b"cnumpy.core._core.multiarray\n_reconstruct\n.",
    "numpy function": b"cnumpy.core.multiarray\nfromfile\n.",
}


@pytest.mark.parametrize("data", BY_HAND.values(), ids=BY_HAND)
def test_hand_made_pickles_are_refused(path, data):
    with pytest.raises(UnsafePickleError, match="refused"):
        through(path, data)


def test_a_stand_in_cannot_be_changed(path):
    poison = b"cnumpy.core.multiarray\n_reconstruct\n}S'x'\nI1\nsb."
    with pytest.raises(UnsafePickleError, match="refused to change a function"):
        through(path, poison)


@pytest.mark.parametrize("kind", ["builtins\ndict", "builtins\nlist", "collections\nOrderedDict", "builtins\nset"])
def test_an_admitted_class_cannot_be_changed(path, kind):
    before = dict(vars(collections.OrderedDict))
    with pytest.raises(CorpusError, match="expected a whole pickle"):
        through(path, f"c{kind}\n(N}}S'update'\nNstb.".encode())
    assert dict(vars(collections.OrderedDict)) == before


RECONSTRUCT = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
SCALAR = b"\x80\x02cnumpy.core.multiarray\nscalar\n"


def dtype_pickle(code: str) -> bytes:
    return b"cnumpy\ndtype\nU" + bytes([len(code)]) + code.encode() + b"K\x00K\x01\x87R"


def array_pickle(shape: bytes, code: str, data: bytes, extra: bytes = b"NNN") -> bytes:
    """A protocol 2 pickle of an array with any state."""
    state = b"(K\x03U\x01<" + extra + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return RECONSTRUCT + shape + dtype_pickle(code) + state + b"\x89" + data + b"tb."


def test_the_hand_made_array_is_sound(path):
    found = through(path, array_pickle(b"K\x02\x85", "f4", b"U\x08" + np.array([1, 2], "<f4").tobytes()))
    assert np.asarray(found).tolist() == [1, 2]


FALSE_STATES = {
    "bytes as objects": array_pickle(b"K\x01\x85", "O8", b"U\x08" + b"\x41" * 8),
    "too few bytes": array_pickle(b"K\x09\x85", "f4", b"U\x08" + b"\0" * 8),
    "negative shape": array_pickle(b"J\xff\xff\xff\xff\x85", "f4", b"U\x00"),
    "huge shape": array_pickle(b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "f4", b"U\x00"),
    "list as floats": array_pickle(b"K\x01\x85", "f4", b"]K\x01a"),
    "no dtype": RECONSTRUCT + b"K\x01\x85U\x02f4\x89U\x04\0\0\0\0tb.",
    "ndarray called": b"\x80\x02cnumpy\nndarray\nK\x7f\x85R.",
    "scalar of too many bytes": SCALAR + dtype_pickle("f4") + b"U\x08\0\0\0\0\0\0\0\0\x86R.",
    "scalar of objects": SCALAR + dtype_pickle("O8") + b"U\x08AAAAAAAA\x86R.",
    "other codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
}  # fmt: skip


@pytest.mark.parametrize("data", FALSE_STATES.values(), ids=FALSE_STATES)
def test_an_array_whose_parts_do_not_fit_is_a_damaged_file(path, data):
    with pytest.raises(CorpusError, match="expected a whole pickle, found"):
        through(path, data)


@pytest.mark.parametrize("dtype", ["V8", "M8[ns]", "m8", "f4,f4", "O4", "i3", "(9999,)f4"])
def test_types_that_are_no_plain_numbers_or_strings_are_refused(path, dtype):
    with pytest.raises(UnsafePickleError, match="refused a NumPy array of type"):
        through(path, array_pickle(b"K\x01\x85", dtype, b"U\x08" + b"\0" * 8))


def test_structured_arrays_are_refused(path):
    with pytest.raises(UnsafePickleError):
        through(path, pickle.dumps(np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])))
    with pytest.raises(UnsafePickleError, match="structured"):
        through(path, array_pickle(b"K\x01\x85", "f4", b"U\x04\0\0\0\0", extra=b"NU\x01a\x85}"))


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04", b"not a pickle", b"PK\x03\x04", b"\x80\x05\x95\xff", b"]" * 50, b"."]
)
def test_what_is_no_pickle_is_one_line(path, data):
    with pytest.raises(CorpusError, match=r"f\.pkl: expected a whole pickle, found") as error:
        through(path, data)
    assert "\n" not in str(error.value)


GREEDY = {
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    "called bytearray": b"\x80\x04" + b"\x8c\x08builtins\x8c\x09bytearray\x93" + b"\x8a\x06\0\0\0\0\0\x01\x85R.",
}


@pytest.mark.parametrize("data", GREEDY.values(), ids=GREEDY)
def test_a_few_bytes_cannot_take_all_memory(path, data):
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(CorpusError, match="expected a whole pickle"):
        through(path, data)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_no_file(path):
    with pytest.raises(CorpusError, match="expected a pickle, found No such file"):
        load(path)


SOUND = pickle.dumps(([{"a": ["x", 1.5]}, np.arange(5.0), np.float32(2)], {1}), protocol=2)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_spoilt_pickles_never_do_more_than_fail(tmp_path_factory, data):
    spoilt = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorpusError, UnsafePickleError):
        through(tmp_path_factory.getbasetemp() / "spoilt.pkl", bytes(spoilt))
