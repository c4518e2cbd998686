"""The manifest of a set of simulated tilt series: what was made, from which options, and where it lies."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Shape3
from cryolithe_stream.read import read_mapping
from cryolithe_stream.store.atomic import write_atomically

MANIFEST = "manifest.yaml"

_LARGEST_BYTES = 64 << 20
_FIX = "Use one that `cryolithe-stream simulate` wrote"


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(c in text for c in "\\\0:"):
        raise ValueError("a path must lead into the manifest's folder, with / between names")
    return text


RelativePath = Annotated[str, Field(max_length=400), AfterValidator(_inside)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$")]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Files(_Checked):
    """Where the files of a series lie, from the manifest's folder."""

    stack: RelativePath
    odd: RelativePath
    even: RelativePath
    angles: RelativePath
    truth: RelativePath
    truth_mrc: RelativePath
    clean: RelativePath | None = None
    particles: RelativePath | None = None


class SeriesEntry(_Checked):
    """One series: its files and what is known of it, one value per tilt in the lists, in the stack's order.

    `snr_db` is that of the full stack, the sum of the halves; theirs are 3.01 dB lower. `noise_sigma` is the full
    stack's, `counts_per_pixel` the electrons of its mean pixel. Doses are in e/Å², defocus in µm.
    """

    name: Name
    seed: Annotated[int, Field(ge=0)]
    files: Files
    pixel_angstrom: Positive
    shape_tyx: Shape3
    volume_zyx: Shape3
    tilts_deg: list[Number]
    noise: Literal["gaussian", "poisson", "none"]
    snr_db: Number | None = None
    noise_sigma: Number | None = None
    counts_per_pixel: Positive | None = None
    ice_thickness_angstrom: Positive | None = None
    defocus_um: list[Number] | None = None
    dose_before_e_a2: list[Number] | None = None
    dose_per_tilt_e_a2: Positive | None = None
    holds: dict[str, Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _one_value_per_tilt(self) -> SeriesEntry:
        for name in ("tilts_deg", "defocus_um", "dose_before_e_a2"):
            values = getattr(self, name)
            if values is not None and len(values) != self.shape_tyx[0]:
                raise ValueError(f"{name} has {len(values)} values for {self.shape_tyx[0]} tilts")
        return self


class Manifest(_Checked):
    """All series of a folder, by name, with the options that made them. `folder` is where the manifest lies."""

    format_version: Literal[1] = 1
    program: Literal["cryolithe-stream"] = "cryolithe-stream"
    fingerprint: str
    options: dict[str, JsonValue]
    templates: dict[str, str]
    series: list[SeriesEntry]
    folder: Annotated[Path, Field(exclude=True)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Manifest:
        names = [entry.name for entry in self.series]
        if len(set(names)) != len(names):
            raise ValueError("two series have the same name")
        return self

    def path(self, relative: str) -> Path:
        """The file that a series names. Raises FormatError when it leads out of the folder, through links too."""
        found = self.folder / relative
        if not found.resolve().is_relative_to(self.folder.resolve()):
            raise FormatError(f"{relative} leads out of {self.folder}", fix="Use a manifest that was not altered")
        return found

    def entry(self, name: str) -> SeriesEntry | None:
        """The series of a name, or None."""
        return next((entry for entry in self.series if entry.name == name), None)

    def with_entry(self, entry: SeriesEntry) -> Manifest:
        """The manifest with a series added or replaced, in the order of names."""
        others = [other for other in self.series if other.name != entry.name]
        return self.model_copy(update={"series": sorted([*others, entry], key=lambda e: e.name)})

    def write(self) -> None:
        """Writes the manifest into its folder, atomically. Raises OutputError."""
        content = self.model_dump(mode="json", exclude_none=True)
        text = yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=10_000)
        write_atomically(self.folder / MANIFEST, text.encode())


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in a file, or in a folder as `manifest.yaml`; every path in it stays in its folder.

    Raises MissingFileError when it cannot be read, and FormatError when it is no manifest of this program.
    """
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    content = read_mapping(path, "the manifest", fix=_FIX, largest_bytes=_LARGEST_BYTES)
    if "folder" in content:
        raise FormatError(f"{path} names its own folder", fix="Use a manifest that was not altered")
    try:
        manifest = Manifest(folder=path.parent, **content)
    except (ValidationError, TypeError, RecursionError) as error:
        raise FormatError(
            f"{path} is no manifest of simulated series ({_first_fault(error)})",
            fix=_FIX,
        ) from error
    for entry in manifest.series:
        for relative in entry.files.model_dump(exclude_none=True).values():
            manifest.path(relative)
    return manifest


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"[:300]
    return "its entries have the wrong form"


class _Plain(yaml.SafeDumper):
    """Writes equal objects out each time, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
