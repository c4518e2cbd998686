"""An etomo folder, or one of its command files, as an alignment."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, UnsupportedError
from cryolithe_stream.geometry import Floats, Shape2, Shape3
from cryolithe_stream.read.angles import Angles, read_angles
from cryolithe_stream.read.comfile import programs_in, read_edf
from cryolithe_stream.read.newst import Newst, read_newst
from cryolithe_stream.read.solution import Solution, VolumeHint
from cryolithe_stream.read.text import Json, format_views, parse_views
from cryolithe_stream.read.tiltcom import TiltCom, check_x_tilts, read_tilt_com
from cryolithe_stream.read.xf import read_xf
from cryolithe_stream.read.xtilt import USUAL_THICKNESS_PX


@dataclass(frozen=True, slots=True)
class _Project:
    """The files of one axis: its name (data set and letter), entries of the .edf, command files where they exist."""

    folder: Path
    name: str
    letter: str
    edf: dict[str, str]
    tilt: Path | None
    newst: Path | None


def read_etomo(source: Path, stack: Path, shape_vyx: Shape3, *, with_angles: bool) -> Solution:
    """The alignment in an etomo folder (or one named by its `tilt.com` or `newst.com`) for a stack `(view, y, x)`.

    The stack is the raw one, or the aligned one that `newst.com` wrote, in which case there is nothing to align.
    `tilt.com` gives angles (read if `with_angles`), excluded views and the volume; `.edf` gives further excluded
    views. Raises FormatError when there are no transforms, UnsupportedError for entries that cannot be honoured.
    """
    project = _project(source, stack)
    newst = None if project.newst is None else read_newst(project.newst)
    tilt = None
    if project.tilt is not None:
        tilt = read_tilt_com(project.tilt, transforms="" if newst is None else newst.transforms.name)
    elif (x_tilts := project.folder / f"{project.name}.xtilt").is_file():
        check_x_tilts(x_tilts, USUAL_THICKNESS_PX)
    aligned = stack.name in {name for name in (tilt and tilt.projections, newst and newst.aligned_name) if name}
    matrix, shift, transforms = (None, None, None) if aligned else _transforms(project, newst, stack)
    output = None if aligned else _output(newst, tilt)
    binning = (newst.binning if newst else tilt.binning if tilt else 1) if aligned else 1
    width = (output or shape_vyx[1:])[1] * binning
    return Solution(
        source=source,
        matrix_yx=matrix,
        shift_yx_px=shift,
        angles=_angles(project, tilt) if with_angles else None,
        excluded=_excluded(project, tilt, shape_vyx[0]),
        solved_yx=None if aligned or tilt is None else tilt.raw_yx,
        output_yx=output,
        tilt_offset_deg=tilt.tilt_offset_deg if tilt else 0.0,
        hint=tilt.hint(width) if tilt else VolumeHint(),
        stack_binning=binning,
        pixel_angstrom=_pixel(project.edf),
        notes=_notes(project, transforms, aligned),
    )


def _project(source: Path, stack: Path) -> _Project:
    folder = source if source.is_dir() else source.parent
    edf = _edf(folder, stack)
    dataset = edf.get("Setup.DatasetName", "")
    program = "" if source.is_dir() else _program(source)
    letter = _letter(source, folder, dataset, stack)
    tilt = source if program == "tilt" else _existing(folder / f"tilt{letter}.com")
    newst = source if program == "newstack" else _existing(folder / f"newst{letter}.com")
    if newst is None and (folder / f"blend{letter}.com").is_file():
        raise UnsupportedError(f"{folder}/blend{letter}.com (a montage) is not supported", fix="Give the blended stack")
    return _Project(folder, dataset + letter if dataset else stack.stem, letter, edf, tilt, newst)


def _letter(source: Path, folder: Path, dataset: str, stack: Path) -> str:
    """The letter `a` or `b` of a dual-axis project, nothing for a single-axis one."""
    if not source.is_dir():
        ending = source.stem[-1:]
        return ending if ending in ("a", "b") else ""
    if (folder / "tilt.com").is_file() or not (folder / "tilta.com").is_file():
        return ""
    ending = stack.stem.removesuffix("_ali")[-1:]
    if ending not in ("a", "b") or (dataset and not stack.stem.startswith(dataset)):
        raise InputError(
            f"alignment {folder} has two axes, and {stack.name} tells neither", fix="Name its tilta.com or tiltb.com"
        )
    return ending


def _program(source: Path) -> str:
    names = [com.program for com in programs_in(source)]
    found = next((name for name in names if name in ("tilt", "newstack")), None)
    if found is None:
        raise FormatError(
            f"alignment {source} runs {', '.join(names)}, neither tilt nor newstack", fix="Name tilt.com or newst.com"
        )
    return found


def _edf(folder: Path, stack: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.edf"))
    if len(files) > 1:
        files = [file for file in files if stack.stem.startswith(file.stem)]
        if len(files) != 1:
            raise InputError(f"alignment {folder} holds several .edf files, none or many for {stack.name}")
    return read_edf(files[0]) if files else {}


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _transforms(project: _Project, newst: Newst | None, stack: Path) -> tuple[Floats, Floats, Path]:
    if newst is not None:
        return newst.matrix_yx, newst.shift_yx_px, newst.transforms
    for stem in (project.name, stack.stem):
        if (path := project.folder / f"{stem}.xf").is_file():
            return (*read_xf(path), path)
    raise FormatError(
        f"alignment {project.folder} holds neither newst{project.letter}.com nor {project.name}.xf",
        fix="Finish the alignment in etomo, or give the .xf file",
    )


def _output(newst: Newst | None, tilt: TiltCom | None) -> Shape2 | None:
    """Unbinned size of the aligned stack, where a command file tells."""
    if newst is not None and newst.output_yx is not None:
        return newst.output_yx
    return None if tilt is None else tilt.aligned_yx


def _angles(project: _Project, tilt: TiltCom | None) -> Angles | None:
    if tilt is not None and (angles := tilt.read_angles()) is not None:
        return angles
    for suffix in (".tlt", ".rawtlt"):
        if (path := project.folder / (project.name + suffix)).is_file():
            if suffix == ".rawtlt":
                warnings.warn(f"{path}: nominal angles, there is no .tlt file", CryolitheWarning, stacklevel=5)
            return Angles(read_angles(path), str(path))
    return None


def _excluded(project: _Project, tilt: TiltCom | None, n_views: int) -> frozenset[int]:
    key = f"Setup.Axis{'B' if project.letter == 'b' else 'A'}.ExcludeProjections"
    excluded = set(parse_views(project.edf.get(key, ""), f"{project.folder}: {key}"))
    if tilt is not None:
        excluded |= tilt.excluded
        if tilt.included:
            excluded |= set(range(1, n_views + 1)) - tilt.included
        if tilt.included and tilt.excluded:
            raise FormatError(f"{tilt.path} has both INCLUDE and EXCLUDE entries", fix="Keep one of them")
    if beyond := {view for view in excluded if view > n_views}:
        raise InputError(
            f"alignment {project.folder} excludes views {format_views(frozenset(beyond))}, the stack has {n_views}",
            fix="Give the stack that the alignment is for",
        )
    return frozenset(excluded)


def _pixel(edf: dict[str, str]) -> float | None:
    try:
        size = float(edf.get("Setup.PixelSize", "")) * 10.0
    except ValueError:
        return None
    return size if 0.01 <= size <= 1e5 else None


def _notes(project: _Project, transforms: Path | None, aligned: bool) -> dict[str, Json]:
    files = {"transforms": transforms, "tilt_com": project.tilt, "newst_com": project.newst}
    notes: dict[str, Json] = {name: str(path) for name, path in files.items() if path is not None}
    return {**notes, "stack_is_aligned": aligned}
