"""How entries of EMPIAR, their folders and files are shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cryolithe_stream_cli.show import size as bytes_text

if TYPE_CHECKING:
    from cryolithe_stream.empiar import Entry, RemoteFile, RemoteFolder, Tree

_LINE_EVERY_S = 10.0


def print_entry(number: str, entry: Entry | None, problem: str) -> None:
    """Print what the database says of an entry, or why it says nothing."""
    if entry is None:
        typer.echo(f"EMPIAR-{number}: {problem or 'the database has no such entry'}")
        return
    typer.echo(f"{entry.accession}: {entry.title or 'no title'}")
    facts = (entry.size, entry.released and f"released {entry.released}", entry.doi and f"doi:{entry.doi}")
    typer.echo("  " + ", ".join(fact for fact in facts if fact))
    for image_set in entry.image_sets:
        typer.echo(f"  image set: {image_set.name or 'no name'}")
        size, pixel, n_images = image_set.image_yx, image_set.pixel_yx_angstrom, image_set.n_images
        formats = "/".join(dict.fromkeys(f for f in (image_set.header_format, image_set.data_format) if f))
        details = (
            image_set.directory and f"{image_set.directory}/",
            image_set.category,
            "" if n_images is None else f"{n_images} images or series",
            "" if image_set.frames_per_image is None else f"{image_set.frames_per_image} frames each",
            formats,
            image_set.voxel_type,
            f"{size[1]} x {size[0]} pixels" if size else "",
            f"{pixel[1]:g} Å/pixel" if pixel else "",
        )
        typer.echo("    " + ", ".join(detail for detail in details if detail))


def print_folders(folders: Sequence[RemoteFolder]) -> None:
    """Print the folders with counts and sizes of their files."""
    for folder in folders:
        shown = [count(folder.files)] if folder.files else []
        if folder.n_folders:
            shown.append(plural(folder.n_folders, "folder") + (" (not looked into)" if folder.unread else ""))
        if shown:
            typer.echo(f"  {folder.path or '.'}/  {', '.join(shown)}")
    files = [file for folder in folders for file in folder.files]
    if folders:
        typer.echo(f"{count(files)}, in {plural(len(folders), 'folder')}")


def told(tree: Tree) -> Iterator[RemoteFolder]:
    """The folders of a tree; a line every ten seconds says that they are still being found."""
    last, n_folders, n_files = time.monotonic(), 0, 0
    for folder in tree.folders():
        n_folders, n_files = n_folders + 1, n_files + len(folder.files)
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            typer.echo(f"looking: {n_folders} folders, {n_files} files so far", err=True)
        yield folder


def plural(n: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def count(files: Sequence[RemoteFile]) -> str:
    """How many files, and how large as far as it is known."""
    sizes = [file.size for file in files if file.size is not None]
    exact = len(sizes) == len(files) and all(size.exact is not None for size in sizes)
    total = ("" if exact else "about ") + bytes_text(sum(size.likely for size in sizes))
    return f"{plural(len(files), 'file')}, {total if sizes else 'sizes not listed'}"


def about(file: RemoteFile) -> str:
    """The size of a file for people."""
    return "?" if file.size is None else bytes_text(file.size.likely)


def folder_facts(folder: RemoteFolder) -> dict[str, Any]:
    """A folder as JSON types."""
    return {
        "path": folder.path,
        "files": len(folder.files),
        "bytes_about": sum(file.size.likely for file in folder.files if file.size is not None),
        "folders": folder.n_folders,
        "looked_into": not folder.unread,
    }


def file_facts(file: RemoteFile) -> dict[str, Any]:
    """A file as JSON types."""
    size = file.size
    return {
        "path": file.path,
        "url": file.url,
        "bytes": None if size is None else size.exact,
        "bytes_about": None if size is None else size.likely,
    }
