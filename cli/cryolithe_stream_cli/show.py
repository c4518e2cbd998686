"""Results as text: aligned names and values for people, JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result to standard output."""
    text = json.dumps(result, indent=2, allow_nan=False) if as_json else as_text(result)
    sys.stdout.write(text + "\n")


def write_json(place: str, content: dict[str, Any]) -> None:
    """Write JSON to a file, or to standard output where the place is `-`."""
    text = json.dumps(content, indent=1) + os.linesep
    if place == "-":
        sys.stdout.write(text)
    else:
        from cryolithe_stream.store.atomic import write_atomically

        write_atomically(Path(place), text.encode())


def as_text(result: Mapping[str, Any]) -> str:
    """One `name  value` line for each entry, nested mappings indented; units are taken from the names."""
    return "\n".join(_lines(result, indent=0))


def _lines(result: Mapping[str, Any], indent: int) -> list[str]:
    plain = [key for key, value in result.items() if not isinstance(value, Mapping)]
    width = max((len(_name(key)) for key in plain), default=0)
    lines: list[str] = []
    for key, value in result.items():
        if isinstance(value, Mapping):
            lines += [" " * indent + _name(key), *_lines(value, indent + 2)]
        else:
            lines.append(f"{' ' * indent}{_name(key):<{width}}  {_value(key, value)}".rstrip())
    return lines


def _name(key: str) -> str:
    for ending in ("_bytes", "_seconds", "_angstrom"):
        key = key.removesuffix(ending)
    return key.replace("_", " ")


def _value(key: str, value: Any) -> str:
    if value is None or value == "" or (isinstance(value, list | tuple) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(key, value)
    if isinstance(value, list | tuple):
        joint = " x " if key.startswith("shape") else ", "
        return joint.join(_value(key, item) for item in value)
    return str(value)


def _number(key: str, value: float) -> str:
    if "bytes" in key.split("_"):
        return size(value)
    if key.endswith("_seconds"):
        return duration(value)
    text = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    return f"{text} Å" if key.endswith("_angstrom") else text


def size(n_bytes: float) -> str:
    """Bytes for people, in binary units: `1.5 GiB`."""
    unit = 0
    while n_bytes >= 1000 and unit < len(_BINARY) - 1:
        n_bytes, unit = n_bytes / 1024, unit + 1
    return f"{n_bytes:.3g} {_BINARY[unit]}"


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3:07 min`, `2:05:00 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"
