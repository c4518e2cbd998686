"""IMOD's command files (`tilt.com`, `newst.com`) and etomo's `.edf`: entries by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import FormatError, MissingFileError, UnsupportedError
from cryolithe_stream.read.text import PathLike, parse_floats, read_text


@dataclass(frozen=True, slots=True)
class ComFile:
    """The entries of one program in a command file: `entries[name]` in small letters, all values in order."""

    path: Path
    program: str
    entries: dict[str, list[str]]

    def text(self, name: str) -> str | None:
        """The last value of an entry, or None where it is missing or empty."""
        return self.entries.get(name.lower(), [""])[-1] or None

    def floats(self, name: str, default: list[float], counts: tuple[int, ...]) -> list[float]:
        """The numbers of an entry. Raises FormatError when it holds anything else."""
        value = self.text(name)
        return default if value in (None, "/") else parse_floats(str(value), f"{self.path}: {name.upper()}", counts)

    def file(self, name: str) -> Path | None:
        """The file that an entry names, beside the command file. Raises MissingFileError when it is not there."""
        value = self.text(name)
        if value is None:
            return None
        path = self.path.parent / value
        if not path.is_file():
            raise MissingFileError(
                f"{self.path}: {name.upper()} names {value}, which is not there", fix="Put the file where it was"
            )
        return path

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Raises UnsupportedError that names the entries which are not in `known`."""
        if unknown := sorted(set(self.entries) - known):
            names = ", ".join(name.upper() for name in unknown)
            raise UnsupportedError(
                f"{self.path}: {names} of program {self.program} is not supported",
                fix="Give the .xf and .tlt files instead, or a copy of the command file without the entry if it does "
                "not move anything",
            )


def programs_in(path: PathLike) -> list[ComFile]:
    """The programs that a command file runs, with their entries, in order.

    Entries follow the program's line `$name -StandardInput`; `#` lines are comments. Raises FormatError when the
    file runs none.
    """
    programs: list[ComFile] = []
    for line in read_text(path, "alignment").splitlines():
        content = line.strip()
        if content.startswith("$"):
            words = content[1:].split()
            programs.append(ComFile(Path(path), words[0].rsplit("/", 1)[-1] if words else "", {}))
        elif content and not content.startswith("#") and programs:
            name, _, value = content.replace("\t", " ").partition(" ")
            programs[-1].entries.setdefault(name.lower(), []).append(value.strip().removeprefix("=").strip())
    if not programs:
        raise FormatError(f"alignment {path} is not an IMOD command file: no line starts with $")
    return programs


def program_in(path: PathLike, name: str) -> ComFile:
    """The first run of a program in a command file. Raises FormatError when the file does not run it."""
    programs = programs_in(path)
    found = next((program for program in programs if program.program == name), None)
    if found is None:
        others = ", ".join(sorted({program.program for program in programs})) or "nothing"
        raise FormatError(f"{path} does not run {name} but {others}", fix=f"Name the command file of {name}")
    return found


def read_edf(path: PathLike) -> dict[str, str]:
    """The entries of an etomo data file, `name=value` lines. Raises FormatError when it names no data set."""
    lines = (line.strip() for line in read_text(path, "alignment").splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    entries = {key.strip(): value.strip() for key, value in pairs}
    if not entries.get("Setup.DatasetName"):
        raise FormatError(f"{path} has no Setup.DatasetName; it is not etomo's .edf file")
    return entries
