"""Tilt angles and pixel sizes in extended MRC headers: FEI1, FEI2, Agard and older FEI, SerialEM."""

from __future__ import annotations

import numpy as np
from mrcfile.dtypes import get_ext_header_dtype
from numpy.typing import NDArray

from cryolithe_stream.geometry import Floats
from cryolithe_stream.read.header import MrcHeader

_LIMIT = 64 * 2**20
_SERIALEM_BYTES = (2, 6, 4, 2, 2, 4, 2, 4, 2, 4, 2)  # of each item, in the order of the flag bits


def extended_tilts_deg(header: MrcHeader) -> Floats | None:
    """Nominal tilt angle of each view in degrees, `(view,)`, or None where the extended header has no usable ones.

    Sources: mrcfile's FEI1 and FEI2 fields; IMOD's description of SerialEM and Agard headers (`mrc_format.html`).
    """
    tilts = None
    if header.extended_type in ("FEI1", "FEI2"):
        tilts = _fei(header, "Alpha tilt")
    elif (step := _serialem_step(header)) is not None:
        shorts = _items(header, "i2", step, 0) if header.extended_words[1] & 1 else None
        tilts = None if shorts is None else shorts / 100.0
    elif header.extended_words[1] > 0:
        tilts = _agard(header, 0)
    usable = tilts is not None and bool(np.all(np.abs(tilts) <= 90.0)) and float(np.ptp(tilts)) > 0.1
    return tilts if usable else None


def extended_pixel_angstrom(header: MrcHeader) -> float | None:
    """Pixel size in Å in the extended header of FEI's programs, which store it in metres, or None."""
    if header.extended_type in ("FEI1", "FEI2"):
        metres = _fei(header, "Pixel size X")
    else:
        metres = _agard(header, 11) if header.extended_words == (0, 32) else None
    size = 0.0 if metres is None else float(metres[0]) * 1e10
    return size if 0.01 <= size <= 1e5 else None


def _fei(header: MrcHeader, field: str) -> Floats | None:
    dtype = get_ext_header_dtype(header.extended_type.encode(), header.byte_order)
    first = _items(header, "i4", 0, 0, count=1)
    step = 0 if first is None else int(first[0])
    if dtype is None or step < dtype.itemsize:
        return None
    kind, offset = dtype.fields[field][:2]
    return _items(header, kind, step, offset)


def _agard(header: MrcHeader, index: int) -> Floats | None:
    integers, floats = header.extended_words
    if integers < 0 or index >= floats:
        return None
    return _items(header, "f4", 4 * (integers + floats), 4 * (integers + index))


def _serialem_step(header: MrcHeader) -> int | None:
    """Bytes per view when the header is SerialEM's, whose flags account for just as many bytes."""
    step, flags = header.extended_words
    sizes = sum(size for bit, size in enumerate(_SERIALEM_BYTES) if flags >> bit & 1)
    return step if step > 0 and flags > 0 and flags < 1 << len(_SERIALEM_BYTES) and sizes == step else None


def _items(header: MrcHeader, kind: object, step: int, offset: int, *, count: int | None = None) -> Floats | None:
    """One number per view, `step` bytes apart, as float64; None when the extended header is too short for them."""
    dtype = np.dtype(kind).newbyteorder(header.byte_order)  # type: ignore[call-overload]
    count = header.shape[0] if count is None else count
    length = header.data_offset - 1024
    if length > _LIMIT or offset + (count - 1) * step + dtype.itemsize > length:
        return None
    with header.path.open("rb") as stream:
        stream.seek(1024)
        raw = stream.read(length)
    if len(raw) < length:
        return None
    values: NDArray[np.generic] = np.ndarray((count,), dtype, raw, offset, (step,))
    numbers = values.astype(np.float64)
    return numbers if bool(np.isfinite(numbers).all()) else None
