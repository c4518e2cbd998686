"""The pixel size of a stack: given, or from its headers and metadata."""

from __future__ import annotations

import warnings

import numpy as np

from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.read.extended import extended_pixel_angstrom
from cryolithe_stream.read.header import MrcHeader
from cryolithe_stream.read.mdoc import Mdoc

_FIX = "Give it with --pixel-size"


def pixel_size(
    header: MrcHeader, given: float | None, mdoc: Mdoc | None, project: tuple[float, str] | None
) -> tuple[float, str]:
    """Pixel size in Å, and where it is from: what was given, the header, else the metadata.

    A header of exactly 1 Å is a writer's placeholder where the extended header or the `.mdoc` knows better. Raises
    InputError when nothing tells, or when pixels are not square.
    """
    if given is not None:
        if not (np.isfinite(given) and 0.01 <= given <= 1e5):
            raise InputError(f"pixel size {given} is not between 0.01 and 100000 angstrom", fix="Give it in angstrom")
        return float(given), "given"
    x, y, _ = header.pixel_xyz_angstrom
    if x > 0 and y > 0 and abs(x - y) > 0.01 * max(x, y):
        raise InputError(f"stack {header.path} has pixels of {x:.4g} x {y:.4g} angstrom, not square ones", fix=_FIX)
    others = _others(header, mdoc, project)
    known = x >= 0.01 and y >= 0.01
    if known and not (abs(x - 1.0) < 1e-6 and others):
        if mdoc is not None and mdoc.pixel_angstrom and _same_size(header, mdoc) and _differ(x, mdoc.pixel_angstrom):
            _warn(
                f"{header.path} has pixels of {x:.4g} angstrom, which holds; {mdoc.path} says {mdoc.pixel_angstrom:.4g}"
            )
        return x, "header"
    if not others:
        raise InputError(f"stack {header.path} has pixel size 0", fix=_FIX)
    size, source = others[0]
    if not known or _differ(size, 1.0):
        _warn(f"{header.path} has pixel size {x:.4g}; taken from {source}: {size:.4g} angstrom")
    return size, source


def _others(header: MrcHeader, mdoc: Mdoc | None, project: tuple[float, str] | None) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    if extended := extended_pixel_angstrom(header):
        found.append((extended, "extended header"))
    if mdoc is not None and mdoc.pixel_angstrom and _same_size(header, mdoc):
        found.append((mdoc.pixel_angstrom, str(mdoc.path)))
    if project:
        found.append(project)
    return found


def _same_size(header: MrcHeader, mdoc: Mdoc) -> bool:
    return mdoc.image_yx is None or mdoc.image_yx == header.shape[1:]


def _differ(a: float, b: float) -> bool:
    return abs(a - b) > 0.01 * max(a, b)


def _warn(text: str) -> None:
    warnings.warn(text, CryolitheWarning, stacklevel=5)
