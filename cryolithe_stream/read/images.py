"""A tilt series whose views are images of their own: one MRC file each, or one section of a stack each."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, MissingFileError
from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.read.header import MrcHeader, read_header
from cryolithe_stream.read.stack import Stack

_SECTION = re.compile(r"(\d{1,7})@(.+)", re.DOTALL)
_KIND = re.compile(r":(?:mrcs?|st)$")  # RELION's `FILE:mrc` reads FILE as MRC whatever its name ends in
_UP = 4


@dataclass(frozen=True, slots=True)
class ImageStack:
    """Images of one size as a stack `(view, y, x)`, read one at a time; small, and picklable as it holds no file.

    `path` is the file that lists them; view v is section `sections[v]` (0-based) of the file `images[v]`.
    """

    path: Path
    images: tuple[Stack, ...]
    sections: tuple[int, ...]

    @property
    def shape(self) -> Shape3:
        """Shape `(view, y, x)`."""
        return (len(self.images), *self.images[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The widest type of numbers among the images."""
        return max((image.dtype for image in self.images), key=lambda dtype: dtype.itemsize)

    @property
    def files(self) -> tuple[Path, ...]:
        """The list and every image file, each once."""
        return (self.path, *dict.fromkeys(image.path for image in self.images))

    def frame(self, view: int) -> Float32s:
        """View `view` (0-based) as float32 `(y, x)`."""
        if not 0 <= view < len(self.images):
            raise IndexError(f"view {view} of a stack of {len(self.images)}")
        return self.images[view].frame(self.sections[view])


@dataclass(frozen=True, slots=True)
class _Named:
    """An image as a list names it: its file from the project's folder, and its section (0-based) where one is named."""

    path: str
    section: int | None


def open_images(source: Path, names: Sequence[str]) -> tuple[ImageStack, MrcHeader]:
    """The images that `source` lists, and a header that describes them as one stack with the first one's pixel size.

    Relative names start at the project's folder and may not leave it: PROJECT of PROJECT/TYPE/jobNNN/tilt_series/, for
    lists that lie elsewhere the nearest folder above, up to four, where an image is found. Absolute names hold as they
    are. `N@FILE` is section N, from 1.
    Raises MissingFileError that counts missing images, InputError for images of different sizes, FormatError for a
    file of several images without a section.
    """
    named = [_named(source, name) for name in names]
    project = _project(source, named)
    if missing := [one.path for one in named if not _is_file(project / one.path)]:
        raise MissingFileError(
            f"{len(missing)} of {len(named)} images of {source} are not there, the first is "
            f"{str(project / missing[0])[:500]}",
            fix="Bring them back, or keep the star file in its project: names start at the project's folder",
        )
    headers = {path: read_header(project / path, tell=False) for path in dict.fromkeys(one.path for one in named)}
    for doubt in dict.fromkeys(doubt for header in headers.values() for doubt in header.doubts):
        doubtful = [header.path for header in headers.values() if doubt in header.doubts]
        text = f"{len(doubtful)} images of {source}, the first is {doubtful[0]}: {doubt}"
        warnings.warn(text, CryolitheWarning, stacklevel=4)
    sections = tuple(_section(headers[one.path], one) for one in named)
    first = headers[named[0].path]
    for header in headers.values():
        if header.shape[1:] != first.shape[1:]:
            raise InputError(
                f"{source}: {header.path} has {header.shape[2]} x {header.shape[1]} pixels, "
                f"{first.path} has {first.shape[2]} x {first.shape[1]}",
                fix="Give a series whose images have one size",
            )
    stacks = {path: Stack.of(header) for path, header in headers.items()}
    images = ImageStack(source, tuple(stacks[one.path] for one in named), sections)
    whole = replace(
        first,
        path=source,
        stored=images.shape,
        axes=(0, 1, 2),
        dtype=images.dtype,
        extended_type="",
        extended_words=(0, 0),
        ispg=0,
    )
    return images, whole


def _named(source: Path, name: str) -> _Named:
    """An image's name taken apart. Raises FormatError for a name that leaves the project, or is none."""
    match = _SECTION.fullmatch(name)
    path = _KIND.sub("", match[2] if match else name)
    section = int(match[1]) - 1 if match else None
    leaves = not path.startswith("/") and ".." in path.split("/")
    if not path or "\0" in path or section == -1 or leaves:
        what = "leads out of the project" if leaves else "is no name of an image"
        raise FormatError(f"star file {source}: {name[:200]!r} {what}", fix="Name images by paths from the project")
    return _Named(path, section)


def _project(source: Path, named: Sequence[_Named]) -> Path:
    """The folder that relative names start in."""
    folders = list(source.absolute().parents)[: _UP + 1]
    if source.absolute().parent.name == "tilt_series" and len(folders) > 3:
        return folders[3]
    for one in named:
        for folder in folders:
            if not one.path.startswith("/") and _is_file(folder / one.path):
                return folder
    return folders[0]


def _is_file(path: Path) -> bool:
    """Whether a file is there, and its name is not too long for any."""
    try:
        return path.is_file()
    except OSError:
        return False


def _section(header: MrcHeader, named: _Named) -> int:
    """The section of an image in its file. Raises FormatError when the file has not got it, or does not tell which."""
    n_sections = header.shape[0]
    if named.section is None and n_sections > 1:
        raise FormatError(f"{header.path} holds {n_sections} images and none is named", fix=f"Write 1@{named.path}")
    if named.section is not None and named.section >= n_sections:
        raise FormatError(
            f"{header.path} holds {n_sections} images, {named.section + 1}@{named.path} is asked for",
            fix="Copy it again, or check the star file",
        )
    return named.section or 0
