"""An entry of EMPIAR as the source of a batch: its names as a tree, and the files that a series needs of it.

In manifests such a source is written `empiar:11830`, and paths below it are paths in the entry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from cryolithe_stream.batch.series import ListedFacts, Series
from cryolithe_stream.batch.tree import Tree, is_passed_over
from cryolithe_stream.empiar import RemoteFolder, entry_number
from cryolithe_stream.empiar.names import safe_name
from cryolithe_stream.errors import InputError
from cryolithe_stream.read import is_star
from cryolithe_stream.store import Place

PREFIX = "empiar:"
_TEXTS = (".tlt", ".rawtlt", ".xf", ".aln", ".mdoc", ".com", ".edf", ".xtilt")
_WITH_ANGLES = (".tlt", ".rawtlt", ".aln", ".mdoc", ".com", ".xml")


def is_entry(source: str | Path) -> bool:
    """Whether a source is written as an entry of EMPIAR."""
    return str(source).lower().startswith(PREFIX)


def entry_source(text: str) -> Path:
    """The source that `empiar:ID` names, the entry in any of its forms. Raises InputError."""
    return Path(PREFIX + entry_number(text[len(PREFIX) :]))


def number_of(source: Path) -> str:
    """The number of the entry that is a source."""
    return str(source)[len(PREFIX) :]


def path_fault(path: str) -> str:
    """Why a text is no path of a file in an entry; empty when it is one."""
    unsafe = [part for part in path.split("/") if safe_name(quote(part)) != part]
    return f"{path[:100]!r} is no path in the entry" if unsafe and path != "." else ""


def tree_of(source: Path, folders: Iterable[RemoteFolder]) -> Tree:
    """The names in an entry, as `walk` gives those under a folder: hidden ones are passed over."""
    below: dict[str, list[str]] = {}
    files: dict[str, frozenset[str]] = {}
    sizes: dict[str, int] = {}
    for folder in folders:
        found = [file for file in folder.files if not is_passed_over(file.path.rpartition("/")[2])]
        sizes |= {file.path: 0 if file.size is None else file.size.likely for file in found}
        files[folder.path] = frozenset(file.path.rpartition("/")[2] for file in found)
        below.setdefault(folder.path, [])
        if folder.path:
            parent, _, name = folder.path.rpartition("/")
            below.setdefault(parent, []).append(name)
    return Tree(source, {path: tuple(below[path]) for path in files}, files, sizes=sizes)


def by_names(tree: Tree, series: Series) -> tuple[Series, ListedFacts]:
    """A series of an entry with all that reading it would look for beside it, as far as names tell.

    Raises InputError when no file would give it angles, and for a star file, whose images are not known by their names.
    """
    if is_star(series.stack.name):
        raise InputError("a star file names single images, which are not read from afar")
    series = replace(series, beside=tuple(tree.root / path for path in _beside(tree, series)))
    paths = to_fetch(series, tree.root)
    if series.angles is None and not any(path.endswith(_WITH_ANGLES) for path in paths):
        raise InputError("no angles beside it (.tlt, .rawtlt, .aln, .mdoc); its header is not read from afar")
    n_bytes = sum((tree.sizes or {})[path] for path in paths)
    alignment = "" if series.alignment is None else str(series.alignment)
    return series, ListedFacts(len(paths), n_bytes, alignment)


def to_fetch(series: Series, source: Path) -> list[str]:
    """Paths in the entry of every file that a run of the series reads; files elsewhere are the user's own."""
    named = [path for role, path in series.files().items() if role != "reference"]
    paths = [inside for path in (*named, *series.beside) if (inside := _inside(path, source)) is not None]
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents} | {"."}
    return sorted(set(paths) - folders)


def moved(series: Series, source: Path, folder: Path) -> Series:
    """The series with its files of the entry below a folder."""
    files = {
        role: path if (inside := _inside(path, source)) is None else folder / inside
        for role, path in series.files().items()
    }
    return Series(series.name, options=series.options, beside=(), **files)


def _inside(path: Place, source: Path) -> str | None:
    """The path of a file below the entry; None for one that is elsewhere."""
    return str(path.relative_to(source)) if isinstance(path, Path) and path.is_relative_to(source) else None


def _beside(tree: Tree, series: Series) -> list[str]:
    """Files of text that belong to the stack or its alignment by their names, or by their folder where it is named."""
    named = {_inside(path, tree.root) for path in series.files().values()}
    wanted: set[str] = set()
    for path in (series.stack, series.alignment):
        if not isinstance(path, Path):
            continue
        place = "" if path == tree.root else str(path.relative_to(tree.root))
        whole = tree.has_folder(place)
        folder = place.rpartition("/")[0]
        if path.suffix == ".com":
            whole, place = True, folder
        stems = () if whole else tuple(f"{stem}." for stem in (path.stem, path.stem.removesuffix("_ali")))
        wanted |= {
            f"{place if whole else folder}/{file}".removeprefix("/")
            for file in tree.files.get(place if whole else folder, ())
            if file.endswith(_TEXTS) and (whole or file.startswith(stems))
        }
    return sorted(wanted - named)
