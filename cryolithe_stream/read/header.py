"""The header of an MRC file, checked against the size of the file."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import byte_order_from_machine_stamp

from cryolithe_stream.errors import CryolitheWarning, FormatError, UnsupportedError
from cryolithe_stream.geometry import Shape3
from cryolithe_stream.read.text import PathLike, existing_file

_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_REFUSED = {3: "complex 16-bit integers", 4: "complex floats", 16: "RGB", 101: "4-bit integers"}
_OTHERS = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\x89HDF": "HDF5", b"PK\x03\x04": "zip", b"\x89PNG": "PNG"}
_Order = Literal["<", ">"]
_IMOD_STAMP = 1146047817
_SIDE_LIMIT = 2**20
_HELP = "Give an MRC stack (.mrc, .mrcs, .st, .ali)"


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What an MRC header says: `stored` sections, rows, columns as on disk; `axes` their places in (z, y, x).

    `pixel_xyz_angstrom` is 0 where the header has none; `doubts` lists what a strict reader would refuse.
    """

    path: Path
    stored: Shape3
    axes: Shape3
    mode: int
    dtype: np.dtype[np.generic]
    byte_order: _Order
    data_offset: int
    file_bytes: int
    pixel_xyz_angstrom: tuple[float, float, float]
    grid_xyz: tuple[int, int, int]
    ispg: int
    extended_type: str
    extended_words: tuple[int, int]
    statistics: tuple[float, float, float, float]
    origin_xyz_angstrom: tuple[float, float, float]
    labels: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def shape(self) -> Shape3:
        """Shape `(view, y, x)`: sections of a stack are its views."""
        z, y, x = (self.stored[axis] for axis in self.axes)
        return (z, y, x)

    @property
    def data_bytes(self) -> int:
        """Bytes of the data block."""
        return math.prod(self.stored) * self.dtype.itemsize


def read_header(path: PathLike, *, complete: bool = True, tell: bool = True) -> MrcHeader:
    """The header of an MRC file of mode 0, 1, 2, 6 or 12, of either byte order.

    Doubtful headers (no map id, wrong machine stamp, bytes after the data) are read and with `tell` a warning says so.
    Raises FormatError when it is no MRC file or, with `complete`, is truncated; UnsupportedError for other modes.
    Source: MRC2014 (https://www.ccpem.ac.uk/mrc_format/mrc2014.php), IMOD's `mrc_format.html` for signed bytes.
    """
    path = existing_file(path, "stack")
    with path.open("rb") as stream:
        raw = stream.read(HEADER_DTYPE.itemsize)
    header = _parse(path, raw, path.stat().st_size)
    if complete and header.file_bytes < header.data_offset + header.data_bytes:
        _refuse_truncated(header)
    for doubt in header.doubts if tell else ():
        warnings.warn(f"{path}: {doubt}", CryolitheWarning, stacklevel=3)
    return header


def looks_like_stack(path: PathLike) -> bool:
    """Whether a file has an MRC header of a mode that can be read. Never raises or warns."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as stream:
            raw = stream.read(HEADER_DTYPE.itemsize)
            size = stream.seek(0, 2)
        _parse(Path(path), raw, size)
    except (OSError, ValueError):  # every InputError is a ValueError
        return False
    return True


def _parse(path: Path, raw: bytes, file_bytes: int) -> MrcHeader:
    if len(raw) < HEADER_DTYPE.itemsize:
        what = "is empty" if not raw else f"holds {len(raw)} bytes, an MRC header alone has 1024"
        raise FormatError(f"stack {path} {what}", fix=_HELP)
    fields, order, doubts = _fields(path, raw)
    mode = int(fields["mode"])
    if mode not in _TYPES:
        raise UnsupportedError(
            f"stack {path} has MRC mode {mode} ({_REFUSED[mode]})", fix="Convert it to mode 1, 2, 6 or 12"
        )
    dtype = np.dtype(_TYPES[mode]).newbyteorder(order)
    if mode == 0 and _imod_unsigned(raw, order):
        dtype = np.dtype("u1")
    counts = (int(fields["nz"]), int(fields["ny"]), int(fields["nx"]))
    end = 1024 + int(fields["nsymbt"]) + math.prod(counts) * dtype.itemsize
    if bytes(fields["map"])[:3] != b"MAP" and end > file_bytes:
        raise FormatError(f"stack {path} is not an MRC file: no map id, and {end} bytes expected, {file_bytes} found")
    if file_bytes > end:
        doubts.append(f"{file_bytes - end} bytes follow the data and are not read")
    words = np.frombuffer(raw[128:132], np.dtype("i2").newbyteorder(order))
    grid = (int(fields["mx"]), int(fields["my"]), int(fields["mz"]))
    return MrcHeader(
        path=path,
        stored=counts,
        axes=_axes(path, fields),
        mode=mode,
        dtype=dtype,
        byte_order=order,
        data_offset=1024 + int(fields["nsymbt"]),
        file_bytes=file_bytes,
        pixel_xyz_angstrom=_pixel(fields, grid),
        grid_xyz=grid,
        ispg=int(fields["ispg"]),
        extended_type=_ascii(fields["exttyp"]),
        extended_words=(int(words[0]), int(words[1])),
        statistics=(float(fields["dmin"]), float(fields["dmax"]), float(fields["dmean"]), float(fields["rms"])),
        origin_xyz_angstrom=(float(fields["origin"]["x"]), float(fields["origin"]["y"]), float(fields["origin"]["z"])),
        labels=tuple(text for text in (_ascii(label).strip() for label in fields["label"]) if text),
        doubts=tuple(doubts),
    )


def _fields(path: Path, raw: bytes) -> tuple[np.void, _Order, list[str]]:
    """The header in the byte order that makes sense of it, that order, and what is doubtful."""
    for magic, name in _OTHERS.items():
        if raw.startswith(magic):
            raise FormatError(f"stack {path} is a {name} file, not an MRC file", fix=_HELP)
    orders: tuple[_Order, _Order] = ("<", ">")
    both = {order: np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in orders}
    doubts = []
    if bytes(both["<"]["map"])[:3] != b"MAP":
        doubts.append("the header has no map id; read as MRC because its numbers fit")
    try:
        stamped = byte_order_from_machine_stamp(both["<"]["machst"])
    except ValueError:
        stamped = "<"
        doubts.append("the machine stamp is unknown")
    for order in orders if stamped == "<" else orders[::-1]:
        if _plausible(both[order]):
            if order != stamped:
                doubts.append("the machine stamp tells the wrong byte order")
            return both[order], order, doubts
    fields = both[stamped]
    size = " x ".join(str(int(fields[name])) for name in ("nx", "ny", "nz"))
    raise FormatError(
        f"stack {path} is not an MRC file: its header says {size} voxels, mode {int(fields['mode'])}", fix=_HELP
    )


def _plausible(fields: np.void) -> bool:
    sides = all(1 <= int(fields[name]) <= _SIDE_LIMIT for name in ("nx", "ny", "nz"))
    return sides and int(fields["mode"]) in _TYPES.keys() | _REFUSED.keys() and int(fields["nsymbt"]) >= 0


def _imod_unsigned(raw: bytes, order: _Order) -> bool:
    stamp, flags = np.frombuffer(raw[152:160], np.dtype("i4").newbyteorder(order))
    return bool(stamp == _IMOD_STAMP and not flags & 1)


def _axes(path: Path, fields: np.void) -> Shape3:
    """Which stored axis (0 sections, 1 rows, 2 columns) runs along z, y and x."""
    mapped = tuple(int(fields[name]) for name in ("maps", "mapr", "mapc"))
    if mapped == (0, 0, 0):
        return (0, 1, 2)
    if sorted(mapped) != [1, 2, 3]:
        raise FormatError(f"stack {path} has axes mapc, mapr, maps = {mapped[::-1]}", fix="They must be 1, 2 and 3")
    return (mapped.index(3), mapped.index(2), mapped.index(1))


def _pixel(fields: np.void, grid: tuple[int, int, int]) -> tuple[float, float, float]:
    sizes = [float(fields["cella"][axis]) / n if n > 0 else 0.0 for axis, n in zip("xyz", grid, strict=True)]
    x, y, z = (size if np.isfinite(size) and 0 < size < 1e6 else 0.0 for size in sizes)
    return (x, y, z)


def _ascii(value: bytes) -> str:
    return bytes(value).split(b"\0", 1)[0].decode("ascii", errors="replace")


def _refuse_truncated(header: MrcHeader) -> None:
    there, sections = header.file_bytes - header.data_offset, header.stored[0]
    whole = max(0, there) * sections // header.data_bytes
    raise FormatError(
        f"stack {header.path} is truncated: {header.file_bytes} bytes, of "
        f"{header.data_offset + header.data_bytes}; {whole} of {sections} views are whole",
        fix="Copy it again",
    )
