"""Reads the pickle of a file of torch.save by an allow list of opcodes: what torch.load takes with `weights_only`.

It builds containers, plain values and `Tensor`s. It imports and calls nothing that the pickle names, hashes nothing but
short keys, and copies nothing: whatever the pickle says, it takes time and memory in proportion to its length.
"""

import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.checked_weights.pickled_names import BadPickle, Name, Opaque, known, made_by, storage_dtype
from app.checked_weights.tensors import Storage

MOST_OPCODES = 1_000_000
MOST_KEY = 1000
"""Characters of a key."""
MOST_NAME = 256
"""Characters of the name of a class or function."""
DEEPEST = 32
"""Dictionaries inside dictionaries."""

FindStorage = Callable[[str, str, bool], Storage]
"""find(key, dtype, is_meta) -> the data of a storage in the archive."""


class _Mark:
    pass


_MARK: Final = _Mark()


def unpickle(data: bytes, find_storage: FindStorage) -> object:
    """Return what the pickle describes. Raises BadPickle, UnsafePickle and QuantizedPickle."""
    value = _Machine(data, find_storage).run()
    _refuse_depth(value)
    return value


class _Machine:
    def __init__(self, data: bytes, find_storage: FindStorage) -> None:
        self._data = data
        self._at = 0
        self._left = MOST_OPCODES
        self._find_storage = find_storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> object:
        """The value on top of the stack at STOP."""
        while True:
            self._spend(1)
            code = self._take(1)
            if code == b".":
                return self._pop()
            if (act := _ACTS.get(code)) is None:
                raise BadPickle(f"its pickle has the opcode {_opcode_name(code)}, which torch.save does not write")
            act(self)

    # Bytes

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise BadPickle(f"its pickle takes more than {MOST_OPCODES:,} steps")

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise BadPickle("its pickle is cut short")
        self._at += count
        return part

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + MOST_NAME + 1)
        if end < 0:
            raise BadPickle(f"its pickle has a name of more than {MOST_NAME} characters")
        line = self._take(end + 1 - self._at)[:-1]
        return line.decode("ascii", "backslashreplace")

    # Stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise BadPickle("its pickle takes a value that is not there")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while place >= 0 and self._stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise BadPickle("its pickle closes what it did not open")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _pop_some(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _top(self) -> Any:
        self._push(value := self._pop())
        return value

    # Memo

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise BadPickle("its pickle repeats a value that it never had")
        self._push(self._memo[index])

    def _put(self, index: int) -> None:
        if index > MOST_OPCODES:  # pickle counts from 0
            raise BadPickle(f"its pickle numbers a value {index:,}, which no pickle reaches that torch.save writes")
        self._memo[index] = self._top()

    # Containers

    def _set_items(self, pairs: Sequence[Any]) -> None:
        target = self._top()
        if len(pairs) % 2 or not isinstance(target, dict | Opaque):
            raise BadPickle("its pickle adds to what is no dictionary")
        if isinstance(target, dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                target[_as_key(key)] = value

    def _append(self, values: Sequence[Any]) -> None:
        target = self._top()
        if not isinstance(target, list | Opaque):
            raise BadPickle("its pickle adds to what is no list")
        if isinstance(target, list):
            target.extend(values)

    def _build(self) -> None:
        """The attributes of an object, such as `_metadata` of a state dict: nothing needs them."""
        self._pop()
        self._top()

    # Names

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._push(known(Name("builtins" if module == "__builtin__" else module, name)))

    def _reduce(self) -> None:
        arguments, called = self._pop(), self._pop()
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise BadPickle("its pickle calls what cannot be called")
        self._push(self._made_by(called, arguments))

    def _made_by(self, called: Name, arguments: tuple[Any, ...]) -> object:
        for _ in range(DEEPEST):
            if called.module != "torch._tensor" or called.name != "_rebuild_from_type_v2":
                break
            if len(arguments) < 3 or not isinstance(arguments[0], Name) or not isinstance(arguments[2], tuple):
                raise BadPickle("its pickle rebuilds a tensor from too little")
            called, arguments = arguments[0], arguments[2]
        if called == Name("collections", "OrderedDict"):
            return self._ordered(arguments)
        return made_by(called, arguments)

    def _ordered(self, arguments: tuple[Any, ...]) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict()
        pairs = arguments[0] if arguments else ()
        if not isinstance(pairs, list | tuple):
            raise BadPickle("its pickle makes a dictionary of something else")
        self._spend(len(pairs))
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise BadPickle("its pickle makes a dictionary of something else")
            made[_as_key(pair[0])] = pair[1]
        return made

    def _persistent(self) -> None:
        """The data of tensors: ("storage", type, key, device, elements)."""
        pid = self._pop()
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise BadPickle("its pickle refers to something that is no data of a tensor")
        _, kind, key, device, _ = pid[:5]
        if not isinstance(kind, Name) or not isinstance(key, str) or len(key) > MOST_NAME:
            raise BadPickle("its pickle refers to the data of a tensor by no name")
        dtype = storage_dtype(kind)
        self._push(self._find_storage(key, dtype, device == "meta"))


def _as_key(key: object) -> object:
    """A key that can be hashed and shown. Tuples of tuples would be hashed for hours: each becomes a key of its own."""
    if isinstance(key, str) and len(key) > MOST_KEY:
        raise BadPickle(f"its pickle has a key of {len(key):,} characters; {MOST_KEY:,} is the most")
    return key if key is None or isinstance(key, str | int | float) else Opaque(type(key).__name__)


def _refuse_depth(value: object) -> None:
    level: list[object] = [value]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict)
            for inner in outer.values()
            if isinstance(inner, dict) and id(inner) not in seen and not seen.add(id(inner))  # type: ignore[func-returns-value]
        ]
    if level:
        raise BadPickle(f"its dictionaries are nested more than {DEEPEST} deep")


def _opcode_name(code: bytes) -> str:
    return next((each.name for each in pickletools.opcodes if each.code == code.decode("latin-1")), f"0x{code.hex()}")


def _long(machine: _Machine) -> int:
    return int.from_bytes(machine._take(machine._number("<B")), "little", signed=True)


def _text(machine: _Machine) -> str:
    data = machine._take(machine._number("<I"))
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise BadPickle("its pickle has a text that is not UTF-8") from None


_ACTS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m._take(1),
    b"(": lambda m: m._push(_MARK),
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"\x8a": lambda m: m._push(_long(m)),
    b"G": lambda m: m._push(m._number(">d")),
    b"X": lambda m: m._push(_text(m)),
    b"U": lambda m: m._push(m._take(m._number("<B")).decode("latin-1")),
    b")": lambda m: m._push(()),
    b"]": lambda m: m._push([]),
    b"}": lambda m: m._push({}),
    b"\x85": lambda m: m._push(tuple(m._pop_some(1))),
    b"\x86": lambda m: m._push(tuple(m._pop_some(2))),
    b"\x87": lambda m: m._push(tuple(m._pop_some(3))),
    b"t": lambda m: m._push(tuple(m._pop_to_mark())),
    b"a": lambda m: m._append(m._pop_some(1)),
    b"e": lambda m: m._append(m._pop_to_mark()),
    b"s": lambda m: m._set_items(m._pop_some(2)),
    b"u": lambda m: m._set_items(m._pop_to_mark()),
    b"h": lambda m: m._get(m._number("<B")),
    b"j": lambda m: m._get(m._number("<I")),
    b"q": lambda m: m._put(m._number("<B")),
    b"r": lambda m: m._put(m._number("<I")),
    b"c": lambda m: m._global(),
    b"R": lambda m: m._reduce(),
    b"\x81": lambda m: m._reduce(),
    b"b": lambda m: m._build(),
    b"Q": lambda m: m._persistent(),
}
"""The allow list."""
