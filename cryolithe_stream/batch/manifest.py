"""The manifest of a batch: a YAML file that names every series, written by `plan` and edited by people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cryolithe_stream.batch.archive import entry_source, is_entry, path_fault
from cryolithe_stream.batch.discover import Discovery
from cryolithe_stream.batch.names import SUFFIX, clashes, fault_of
from cryolithe_stream.batch.recipes import option_faults
from cryolithe_stream.batch.series import FILES, Series
from cryolithe_stream.batch.tree import Skipped
from cryolithe_stream.errors import FormatError, InputError, OutputError
from cryolithe_stream.read import read_mapping
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.parse import suggestion
from cryolithe_stream.store import Place, place_of
from cryolithe_stream.store.atomic import write_atomically

KIND = "manifest 1"
_KEYS = ("cryolithe_stream", "source", "recipe", "options", "series", "skipped")
_SERIES_KEYS = ("name", *FILES, "beside", "options")
_LARGEST_BYTES = 64 << 20
_MOST_FAULTS = 20
_FIX = "Correct it, or make a new one with batch plan"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every series of a batch, options that they share, and what was left out.

    All paths are absolute, but those of an entry of EMPIAR, which is the source then: they begin with it.
    """

    source: Path
    recipe: str
    series: tuple[Series, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def of(cls, discovery: Discovery, options: Mapping[str, Any]) -> Manifest:
        """The manifest of what was found; `options` hold for every series."""
        series = tuple(found.series for found in discovery.found)
        return cls(discovery.source, discovery.recipe.name, series, options, discovery.skipped)

    def run_options(self, series: Series, folder: Place) -> RunOptions:
        """The options of one series, whose tomogram is `folder/NAME.ome.zarr`. Raises InputError."""
        files = {role: path for role, path in series.files().items() if role != "reference"}
        return RunOptions(**{**self.options, **series.options}, **files, output=folder / f"{series.name}{SUFFIX}")

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the manifest, whole or not at all. Raises OutputError, also when a file is there already."""
        self.check_place(path, overwrite=overwrite)
        write_atomically(path, self._text().encode())

    @staticmethod
    def check_place(path: Path, *, overwrite: bool = False) -> None:
        """Raises OutputError when no manifest can be written at a path."""
        if path.is_dir() or (path.exists() and not overwrite):
            fix = "Name a file" if path.is_dir() else "Give --overwrite to replace it"
            raise OutputError(f"the manifest {path} exists", fix=fix)
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is no folder", fix="Make it first, or name another file")

    def _text(self) -> str:
        content: dict[str, Any] = {
            "cryolithe_stream": KIND,
            "source": str(self.source),
            "recipe": self.recipe,
            "options": dict(self.options),
            "series": [self._entry(series) for series in self.series],
            "skipped": [{"path": entry.path, "reason": entry.reason} for entry in self.skipped],
        }
        return yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000)

    def _entry(self, series: Series) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": series.name}
        for role, path in series.files().items():
            entry[role] = self._relative(path)
        if series.beside:
            entry["beside"] = [self._relative(path) for path in series.beside]
        return {**entry, "options": dict(series.options)} if series.options else entry

    def _relative(self, path: Place) -> str:
        inside = isinstance(path, Path) and path.is_relative_to(self.source)
        text = str(path.relative_to(self.source)) if isinstance(path, Path) and inside else str(path)
        return f"./{text}" if text.startswith("~") else text


def read_manifest(path: Path) -> Manifest:
    """The manifest in a YAML file; relative paths start at its `source`, and that at the folder of the file.

    Raises MissingFileError when it cannot be read, FormatError when it is no manifest, and InputError that lists every
    fault: unknown entries, names that are unsafe or collide, options that no run takes.
    """
    content = read_mapping(path, "the manifest", fix=_FIX, largest_bytes=_LARGEST_BYTES)
    if content.get("cryolithe_stream") != KIND:
        raise FormatError(f"{path} does not begin with 'cryolithe_stream: {KIND}'", fix=_FIX)
    faults = [f"{key}: no entry has this name{suggestion(key, _KEYS)}" for key in content if key not in _KEYS]
    source = _source(content.get("source"), path.absolute().parent, faults)
    options = _options(content.get("options"), "options", faults)
    recipe = content.get("recipe", "")
    if not isinstance(recipe, str):
        faults.append("recipe: is not text")
    shared_are_right = not option_faults(options)
    faults += [f"options: {text}" for text in option_faults(options)]
    entries = content.get("series")
    if not isinstance(entries, list) or not entries:
        faults.append("series: is no list of series")
        entries = []
    series = [_series(entry, number, source, faults) for number, entry in enumerate(entries, 1)]
    named = [one for one in series if one.name]
    faults += _name_faults(named, options)
    manifest = Manifest(source, str(recipe), tuple(series), options, _skipped(content.get("skipped"), faults))
    if shared_are_right:
        faults += [
            f"{one.name}: {fault}" for one in named if one.stack.name and (fault := _option_fault(manifest, one))
        ]
    if faults:
        more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InputError(f"the manifest {path} has {count}: {'; '.join(faults[:_MOST_FAULTS])}{more}", fix=_FIX)
    return manifest


def _series(entry: Any, number: int, source: Path, faults: list[str]) -> Series:
    """A series from its YAML; what is wrong with it is added to `faults`, and then its name is empty."""
    where = f"series[{number}]"
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        faults.append(f"{where}: has no names with values")
        return Series("", source)
    name = entry.get("name")
    if not isinstance(name, str):
        faults.append(f"{where}.name: is {name!r}, not text" if "name" in entry else f"{where}.name: is missing")
        name = ""
    elif fault := fault_of(name):
        faults.append(f"{where}.name: {name[:100]!r} {fault}")
        name = ""
    where = name or where
    unknown = [key for key in entry if key not in _SERIES_KEYS]
    faults += [f"{where}.{key}: no entry has this name{suggestion(key, _SERIES_KEYS)}" for key in unknown]
    if "stack" not in entry:
        faults.append(f"{where}.stack: is missing")
    roles = [role for role in FILES if entry.get(role) is not None]
    files = {role: _place(entry[role], source, f"{where}.{role}", faults) for role in roles}
    beside = entry.get("beside") or []
    if not isinstance(beside, list):
        faults.append(f"{where}.beside: is no list of paths")
        beside = []
    more = tuple(_path(value, source, f"{where}.beside", faults) for value in beside)
    options = _options(entry.get("options"), f"{where}.options", faults)
    return Series(name, **{"stack": Path(), **files}, options=options, beside=more)


def _source(value: Any, start: Path, faults: list[str]) -> Path:
    if not isinstance(value, str) or not is_entry(value):
        return _path(value, start, "source", faults)
    try:
        return entry_source(value)
    except InputError as error:
        faults.append(f"source: {error.what}")
        return start


def _place(value: Any, start: Path, where: str, faults: list[str]) -> Place:
    """A file of a series: an address, or a path that may start at a folder."""
    if isinstance(value, str) and "://" in value:
        try:
            return place_of(value)
        except InputError as error:
            faults.append(f"{where}: {error.what}")
            return start
    return _path(value, start, where, faults)


def _path(value: Any, start: Path, where: str, faults: list[str]) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        faults.append(f"{where}: is no path" if value is not None else f"{where}: is missing")
        return start
    remote = is_entry(start) and not value.startswith(("/", "~/"))
    if remote and (fault := path_fault(value.removeprefix("./"))):
        faults.append(f"{where}: {fault}")
        return start
    return start / (Path(value).expanduser() if value.startswith("~/") else Path(value))


def _options(value: Any, where: str, faults: list[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        faults.append(f"{where}: has no names with values")
        return {}
    return {key.replace("-", "_"): option for key, option in value.items() if option is not None}


def _skipped(value: Any, faults: list[str]) -> tuple[Skipped, ...]:
    entries = [] if value is None else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        faults.append("skipped: is no list of paths with reasons")
        return ()
    return tuple(Skipped(str(entry.get("path", "")), str(entry.get("reason", ""))) for entry in entries)


def _name_faults(series: list[Series], options: Mapping[str, Any]) -> list[str]:
    names: dict[str, bool] = {}
    faults = []
    for one in series:
        if one.name in names:
            faults.append(f"{one.name}: two series have this name")
        names[one.name] = one.odd is not None or bool({**options, **one.options}.get("halves"))
    return faults + [f"{name}: its tomogram would stand where that of {other} does" for name, other in clashes(names)]


def _option_fault(manifest: Manifest, series: Series) -> str:
    own = [key for key in series.options if key in (*FILES, "output")]
    if own:
        return f"options.{own[0]}: is an entry of the series itself"
    try:
        manifest.run_options(series, Path("folder"))
    except InputError as error:
        return error.what
    return ""


class _Plain(yaml.SafeDumper):
    """Writes equal objects out each time, without aliases, and texts with line breaks or the like on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Plain.add_representer(str, _text_node)
