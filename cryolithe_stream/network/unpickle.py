"""Reads a pickle as data: nothing that it names is imported, looked up or called.

The opcodes are interpreted here. A name that the pickle mentions becomes a `Named` token and must be an allowed one;
what it would call becomes a `StoredTensor`, a `StoredObject` with its attributes, a dict, or an `Opaque` whose contents
are dropped. Every opcode adds at most one object, so memory is bounded by the size of the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.pickled import (
    DICT,
    PARAMETER,
    TENSOR,
    DamagedPickleError,
    Named,
    Opaque,
    StoredObject,
    StoredStorage,
    StoredTensor,
    UnsafePickleError,
    is_allowed,
    is_kept,
    is_storage,
)

_KEYS = (str, int, float, bool, bytes, type(None))


def read_pickle(data: bytes, source: str) -> object:
    """What a pickle holds: Python scalars, lists, tuples, dicts, and the tokens of `pickled`.

    `source` names the file in errors. Raises UnsafePickleError for a name that is not allowed or an opcode that model
    data never needs, DamagedPickleError when the pickle is damaged.
    """
    machine = _Machine(source)
    try:
        for opcode, arg, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, arg)
    except ModelError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise DamagedPickleError(f"{source} is damaged ({type(error).__name__}: {error})") from error
    raise DamagedPickleError(f"{source} is damaged (the pickle has no end)")


class _Machine:
    """The stack, the marks and the memo of a pickle."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, arg: Any) -> None:
        """Apply one opcode."""
        if name in _LITERALS:
            self.stack.append(arg)
        elif name in _IGNORED:
            return
        elif name in _ACTIONS:
            _ACTIONS[name](self, arg)
        elif name == "INST":
            self.named(*arg.split(" ", 1))
            raise self.unsafe("the opcode INST")
        else:
            raise self.unsafe(f"the opcode {name}")

    def unsafe(self, what: str) -> UnsafePickleError:
        """The error for something that model data never holds."""
        return UnsafePickleError(
            f"{self.source} carries {what}, which is not model data; nothing of it was run",
            fix="Do not use this file unless you trust its origin; ask its author for the plain weights",
        )

    def named(self, module: str, name: str) -> Named:
        """The token of a name; refused when it is not on the list."""
        path = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if not is_allowed(path):
            raise self.unsafe(path[:200])
        return Named(path)

    def pop_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.marked.pop()
        return items


def _call(machine: _Machine, function: object, args: object) -> object:
    """What stands for `function(*args)`."""
    if not isinstance(function, Named) or not isinstance(args, tuple):
        raise machine.unsafe("a call of something that is not a name")
    if function.path == DICT and not args:
        return {}
    if function.path == TENSOR:
        storage, offset, size, stride = args[:4]
        if not isinstance(storage, StoredStorage) or not _whole(offset) or not _wholes(size) or not _wholes(stride):
            raise machine.unsafe("a tensor without a storage, size and stride")
        return StoredTensor(storage, offset, size, stride)
    if function.path == PARAMETER:
        if not args or not isinstance(args[0], StoredTensor):
            raise machine.unsafe("a parameter that is not a tensor")
        return args[0]
    return _new(machine, function, args)


def _new(machine: _Machine, cls: object, args: object) -> object:
    """What stands for a new object of a class."""
    if not isinstance(cls, Named) or not isinstance(args, tuple):
        raise machine.unsafe("an object of something that is not a name")
    if cls.path == DICT:
        return {} if not args else Opaque(cls.path)
    return StoredObject(cls.path) if is_kept(cls.path) else Opaque(cls.path)


def _build(machine: _Machine, target: object, state: object) -> None:
    """Keep the attributes of an allowed object; those of anything else are dropped."""
    if isinstance(target, StoredObject):
        attributes = state[0] if isinstance(state, tuple) and state else state
        if not isinstance(attributes, dict):
            raise machine.unsafe(f"a {target.path} without attributes")
        target.state = attributes
    elif not isinstance(target, (dict, Opaque)):
        raise machine.unsafe("attributes for something that is not an object")


def _persistent(machine: _Machine, arg: object) -> StoredStorage:
    """A storage record, from the tuple ("storage", type, key, device, numel)."""
    del arg
    match machine.stack.pop():
        case ("storage", Named(path=kind), str(key), str(), int(numel)) if is_storage(kind):
            return StoredStorage(key, kind, numel)
    raise machine.unsafe("a reference that is not a tensor's storage")


def _whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _wholes(values: object) -> bool:
    return isinstance(values, tuple) and len(values) <= 16 and all(map(_whole, values))


def _set_items(target: object, items: list[Any]) -> None:
    if isinstance(target, Opaque):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items for something that is not a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key, _KEYS):
            target[key] = value
        elif not isinstance(key, (tuple, Named, Opaque)):
            raise ValueError(f"a dict key of type {type(key).__name__}")


def _append(target: object, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Opaque):
        raise ValueError("items for something that is not a list")


def _mark(machine: _Machine, arg: object) -> None:
    del arg
    machine.marked.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine, arg: object) -> None:
    del arg
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _short_tuple(n: int) -> _Action:
    def act(machine: _Machine, arg: object) -> None:
        del arg
        split = len(machine.stack) - n
        if split < 0:
            raise IndexError("the stack is too short")
        machine.stack[split:] = [tuple(machine.stack[split:])]

    return act


def _push(make: Callable[[], object]) -> _Action:
    return lambda machine, arg: machine.stack.append(make())


def _collect(make: Callable[[list[Any]], object]) -> _Action:
    def act(machine: _Machine, arg: object) -> None:
        del arg
        items = machine.pop_mark()
        machine.stack.append(make(items))

    return act


def _combine(act_on: Callable[[_Machine, Any, Any], object]) -> _Action:
    """Pops the argument and the target, pushes the outcome."""

    def act(machine: _Machine, arg: object) -> None:
        del arg
        top = machine.stack.pop()
        machine.stack.append(act_on(machine, machine.stack.pop(), top))

    return act


def _fill(act_on: Callable[[Any, list[Any]], None], n: int | None) -> _Action:
    """Adds what was pushed last (n items, or all since the mark) to the object below."""

    def act(machine: _Machine, arg: object) -> None:
        del arg
        items = machine.pop_mark() if n is None else [machine.stack.pop() for _ in range(n)][::-1]
        act_on(machine.stack[-1], items)

    return act


def _built(machine: _Machine, target: object, state: object) -> object:
    _build(machine, target, state)
    return target


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set_items(made, items)
    return made


def _stack_global(machine: _Machine, module: object, name: object) -> Named:
    if not isinstance(module, str) or not isinstance(name, str):
        raise machine.unsafe("a class without a name")
    return machine.named(module, name)


def _put(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo) if arg is None else arg] = machine.stack[-1]


_Action = Callable[[_Machine, Any], None]
_IGNORED = frozenset({"PROTO", "FRAME"})
_LITERALS = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    ]
)
_ACTIONS: dict[str, _Action] = {
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_TUPLE": _push(tuple),
    "EMPTY_LIST": _push(list),
    "EMPTY_DICT": _push(dict),
    "EMPTY_SET": _push(lambda: Opaque("builtins.set")),
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": lambda machine, arg: machine.pop_mark().clear(),
    "DUP": lambda machine, arg: machine.stack.append(machine.stack[-1]),
    "TUPLE": _collect(tuple),
    "LIST": _collect(list),
    "DICT": _collect(_dict_of),
    "FROZENSET": _collect(lambda items: Opaque("builtins.frozenset")),
    "TUPLE1": _short_tuple(1),
    "TUPLE2": _short_tuple(2),
    "TUPLE3": _short_tuple(3),
    "APPEND": _fill(_append, 1),
    "APPENDS": _fill(_append, None),
    "ADDITEMS": _fill(_append, None),
    "SETITEM": _fill(_set_items, 2),
    "SETITEMS": _fill(_set_items, None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, arg: machine.stack.append(machine.memo[arg])),
    "GLOBAL": lambda machine, arg: machine.stack.append(machine.named(*arg.split(" ", 1))),
    "STACK_GLOBAL": _combine(_stack_global),
    "REDUCE": _combine(_call),
    "NEWOBJ": _combine(_new),
    "BUILD": _combine(_built),
    "BINPERSID": lambda machine, arg: machine.stack.append(_persistent(machine, arg)),
}
