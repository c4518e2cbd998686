"""The files of a run's series, which may be at addresses: looked at before a run, fetched into its workspace by it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryolithe_stream.errors import UnsupportedError
from cryolithe_stream.read import TiltSeries, is_star
from cryolithe_stream.run.fetch import Source, fetch, fetch_start, look_up
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.progress import Progress
from cryolithe_stream.store import Ledger, Place, RemotePath

_STACKS = ("stack", "odd", "even")
_SMALL = ("angles", "alignment", "mdoc")
_MOST_SMALL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stack's file as it looked: a shortcut that saves hashing a file that did not change.

    `modified` is its time in ns, what a server said (entity tag or date), or a digest of the times of many files.
    """

    path: str
    size: int
    modified: int | str

    @classmethod
    def of(cls, series: TiltSeries) -> Stamp:
        """The stamp of a series' stack as it is now; of many files one size and one digest."""
        files = series.stack.files
        found = [path.stat() for path in files]
        size, name = sum(status.st_size for status in found), str(series.stack.path.resolve())
        if len(files) == 1:
            return cls(name, size, found[0].st_mtime_ns)
        each = [[str(path), status.st_size, status.st_mtime_ns] for path, status in zip(files, found, strict=True)]
        return cls(name, size, hashlib.sha256(json.dumps(each).encode()).hexdigest())

    def to_json(self) -> list[Any]:
        """The stamp as JSON."""
        return [self.path, self.size, self.modified]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Options whose files are all here, and where those that are not at home came from, by their path here."""

    options: RunOptions
    sources: Mapping[Path, Source] = field(default_factory=dict)

    @property
    def are_remote(self) -> bool:
        """Whether any file is at an address."""
        return bool(self.sources)

    def stamp(self, series: TiltSeries) -> Stamp:
        """The stamp of a series' stack, as its server tells it where it is fetched."""
        source = self.sources.get(series.stack.path)
        if source is None:
            return Stamp.of(series)
        return Stamp(str(source.place), source.size, source.version)

    def named(self, value: Any) -> Any:
        """JSON in which paths of fetched files are the addresses that they came from."""
        if isinstance(value, Mapping):
            local = {str(path) for path in self.sources}
            own = {"modified_ns"} if value.get("path") in local else set()  # that of the copy here
            return {key: self.named(entry) for key, entry in value.items() if key not in own}
        if isinstance(value, list | tuple):
            return [self.named(entry) for entry in value]
        names = {str(path): str(source.place) for path, source in self.sources.items()}
        return names.get(value, value) if isinstance(value, str) else value


@contextmanager
def looked_at(options: RunOptions) -> Iterator[Inputs]:
    """The inputs of a run for its survey: of stacks at addresses only the header is fetched, the rest is a hole.

    What is fetched lies in a temporary folder that goes with the block. Raises RemoteError, MissingFileError and
    InputError for names that a file cannot have.
    """
    remote = _remote(options)
    if not remote:
        yield Inputs(options)
        return
    with tempfile.TemporaryDirectory(prefix="cryolithe-stream-") as folder:
        paths: dict[str, Path] = {}
        sources: dict[Path, Source] = {}
        for role, place in remote.items():
            if role in _STACKS and is_star(place.name):
                raise UnsupportedError(f"{place} names images that are not fetched", fix="Fetch its project first")
            source = look_up(place)
            target = Path(folder, role, source.name)
            target.parent.mkdir()
            if role in _STACKS:
                fetch_start(source, target)
            else:
                fetch(source, target, most_bytes=_MOST_SMALL_BYTES)
            paths[role], sources[target] = target, source
        yield Inputs(options.model_copy(update=paths), sources)


def fetched(inputs: Inputs, options: RunOptions, folder: Path, ledger: Ledger, progress: Progress) -> Inputs:
    """The same inputs with their stacks whole, in `folder`; what the ledger marks as fetched is not fetched again.

    Raises RemoteError, and OutputError when the folder cannot be written.
    """
    paths: dict[str, Path] = {}
    sources = dict(inputs.sources)
    for role in _STACKS:
        if role not in _remote(options):
            continue
        seen: Path = getattr(inputs.options, role)
        source = sources.pop(seen)
        target = folder / role / source.name
        mark = {"source": [str(source.place), source.size, source.version]}
        if ledger.done().get(f"fetched/{role}") != mark or not target.is_file():
            progress.message(f"fetching {source.place} ({source.size / 1e9:.3g} GB)")
            fetch(source, target)
            ledger.mark(f"fetched/{role}", mark)
        paths[role], sources[target] = target, source
    return Inputs(inputs.options.model_copy(update=paths), sources)


def here(place: Place | None) -> Path | None:
    """A path of this machine, or None. Raises UnsupportedError for an address."""
    return None if place is None else require_here(place)


def require_here(place: Place) -> Path:
    """A path of this machine. Raises UnsupportedError for an address."""
    if isinstance(place, RemotePath):
        raise UnsupportedError(f"{place} has to be a file of this machine here", fix="Fetch it first")
    return place


def _remote(options: RunOptions) -> dict[str, RemotePath]:
    found = {role: getattr(options, role) for role in (*_STACKS, *_SMALL)}
    return {role: place for role, place in found.items() if isinstance(place, RemotePath)}
