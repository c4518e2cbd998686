"""Everything that a reconstruction can be told: one object for the command line, YAML files and Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, PlainSerializer, ValidationError

from cryolithe_stream.errors import InputError
from cryolithe_stream.read import is_star, read_mapping
from cryolithe_stream.run.cluster_words import (
    Scale,
    faults_of,
    parse_adapt,
    parse_cluster,
    parse_listens,
    read_word,
)
from cryolithe_stream.run.parse import parse_bytes, parse_device, parse_exclude, parse_roi, suggestion
from cryolithe_stream.store.place import Place, RemotePath, place_of, public_url

Method = Literal["network", "fbp"]
EngineName = Literal["features", "exact"]
Grid = Literal["true", "public"]
OmeZarr = Literal["0.4", "0.5"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
OutputType = Literal["float32", "float16", "int16"]


def _output(value: object) -> Place:
    path = place_of(value)
    if path.suffix not in (".zarr", ".mrc"):
        raise ValueError("the output ends in .ome.zarr or .mrc")
    if isinstance(path, RemotePath):
        if path.scheme != "s3":
            raise ValueError("an output goes to a local folder or to s3://")
        if path.suffix == ".mrc":
            raise ValueError(
                "an object store takes OME-Zarr only: write .ome.zarr there, then export it to an MRC file"
            )
    return path


def _choice(value: object) -> object:
    """YAML reads `true` and `0.4` as a truth and a number where their names are meant."""
    return str(value).lower() if isinstance(value, bool | float) else value


def _number(value: object) -> object:
    """YAML reads `yes` as a truth, which Python counts as 1."""
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value


InputPlace = Annotated[
    InstanceOf[Path] | InstanceOf[RemotePath], BeforeValidator(place_of), PlainSerializer(str, when_used="json")
]
OutputPlace = Annotated[
    InstanceOf[Path] | InstanceOf[RemotePath], BeforeValidator(_output), PlainSerializer(str, when_used="json")
]
UserPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_number)]
Count = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_number)]


class RunOptions(BaseModel):
    """Options of one reconstruction, checked as a whole: InputError lists every fault at once.

    `thickness` is in voxels of the output, `pixel_size` and `alignment_pixel_size` in Å, `memory` in bytes for each
    worker process, `exclude` in 1-based view numbers. None leaves the choice to the input, the model or the machine.
    `workers` and `adapt` are numbers of worker processes for clusters that this program starts, `dashboard` the address
    HOST:PORT that Dask's dashboard listens at, loopback without it.
    Files of the series may be addresses (`s3://`, `https://`), the output one below `s3://`; `workspace` is the folder
    that holds the workspace of such an output, without it the current one.
    `odd` and `even` are half stacks (from frames) that share the alignment of `stack`; `halves` splits its tilts.
    A star file of RELION-5 names its own halves, and is given as both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: InputPlace
    output: OutputPlace
    workspace: UserPath | None = None
    angles: InputPlace | None = None
    alignment: InputPlace | None = None
    mdoc: InputPlace | None = None
    model: str = "default"
    method: Method = "network"
    engine: EngineName = "features"
    oversample: Count | None = None
    grid: Annotated[Grid, BeforeValidator(_choice)] = "true"
    thickness: Count | None = None
    bin: Count | None = None
    pixel_size: Positive | None = None
    alignment_pixel_size: Positive | None = None
    roi: Annotated[str, BeforeValidator(parse_roi)] | None = None
    halves: bool = False
    odd: InputPlace | None = None
    even: InputPlace | None = None
    patch_scale: Positive | None = None
    invert: bool = False
    exclude: Annotated[tuple[int, ...], BeforeValidator(parse_exclude)] = ()
    precision: Precision = "auto"
    device: Annotated[str, BeforeValidator(parse_device)] = "auto"
    memory: Annotated[int, BeforeValidator(parse_bytes)] | None = None
    cluster: Annotated[str, BeforeValidator(parse_cluster)] = "local"
    workers: Count | None = None
    adapt: Annotated[tuple[int, int], BeforeValidator(parse_adapt)] | None = None
    dashboard: Annotated[str, BeforeValidator(parse_listens)] | None = None
    dtype: OutputType = "float32"
    ome_zarr: Annotated[OmeZarr, BeforeValidator(_choice)] = "0.5"
    overwrite: bool = False

    if not TYPE_CHECKING:  # type checkers keep the constructor that pydantic derives from the fields

        def __init__(self, **values: Any) -> None:
            faults = _conflicts(values)
            try:
                super().__init__(**values)
            except ValidationError as error:
                faults = [*_faults(error), *faults]
            if faults:
                if len(faults) == 1:
                    raise InputError(f"an option is wrong: {faults[0]}", fix="Correct it and start again")
                text = f"{len(faults)} options are wrong: {'; '.join(faults)}"
                raise InputError(text, fix="Correct them together and start again")

    @classmethod
    def merged(
        cls, given: Mapping[str, object], *, config: Path | None = None, fallback: Mapping[str, object] | None = None
    ) -> RunOptions:
        """Options from what was given, else from the YAML file `config`, else from `fallback`, else the defaults.

        A value of None counts as not given. Relative paths in the file start at the current folder, as flags do.
        Raises MissingFileError or FormatError for the file and InputError for the options.
        """
        layers = [fallback or {}, read_config(config) if config else {}, given]
        values: dict[str, Any] = {k: v for layer in layers for k, v in layer.items() if v is not None}
        return cls(**values)

    @property
    def scale(self) -> Scale:
        """How many workers the cluster is asked for."""
        return Scale(self.workers, self.adapt)

    def to_json(self) -> dict[str, Any]:
        """Every option that is not None as JSON types; `merged` reads them back to the same options."""
        return self.model_dump(mode="json", exclude_none=True)

    def describes_voxels(self) -> dict[str, Any]:
        """The options that change the voxels written, as JSON types: the fingerprint's share of the options.

        Paths are left out, because the content of the files counts, and so are memory, workers and `overwrite`,
        which change no voxel. What only a network needs is left out of a filtered back-projection.
        """
        unneeded = _NO_VOXELS | (_NETWORK_ONLY if self.method == "fbp" else set())
        if self.engine == "exact":
            unneeded = unneeded | {"oversample"}
        return self.model_dump(mode="json", exclude=unneeded)


_LONGEST = 100
_PATHS = {"stack", "output", "workspace", "angles", "alignment", "mdoc", "model", "odd", "even"}
_NO_VOXELS = _PATHS | {"memory", "cluster", "workers", "adapt", "dashboard", "device", "overwrite"}
_NETWORK_ONLY = {"engine", "oversample", "patch_scale"}


def read_config(path: Path) -> dict[str, object]:
    """Options by name from a YAML file, read without building objects; dashes in names count as underscores.

    Raises MissingFileError when it cannot be read and FormatError when it is not a mapping of names to values.
    """
    content = read_mapping(path, "the config file", fix="Write one 'name: value' a line")
    return {key.replace("-", "_"): value for key, value in content.items()}


def _conflicts(values: Mapping[str, object]) -> list[str]:
    """Faults between options, found from raw values so that they are told together with the other faults."""

    def has(name: str) -> bool:
        return values.get(name) not in (None, False)

    faults = []
    if has("odd") != has("even"):
        given, lacking = ("odd", "even") if has("odd") else ("even", "odd")
        faults.append(f"{lacking}: {given} was given without it, half stacks come in pairs")
    if has("halves") and has("odd") and has("even"):
        faults.append("halves: excludes odd and even, which bring their own halves")
    names_both = is_star(str(values.get("odd")))
    if has("odd") and values.get("odd") == values.get("even") and not names_both:
        faults.append("even: is the same file as odd, the halves would not be independent")
    with suppress(ValueError):  # a word that cannot be read is told with the other values
        word = read_word(str(values.get("cluster", RunOptions.model_fields["cluster"].default)))
        faults += faults_of(word, **{name: values.get(name) for name in ("workers", "adapt", "dashboard")})
    inputs = ("stack", "odd", "even", "angles", "alignment", "mdoc")
    if has("output") and (same := [name for name in inputs if values.get(name) == values["output"]]):
        faults.append(f"output: is the same file as {same[0]}")
    if has("workspace") and has("output") and not str(values["output"]).startswith("s3://"):
        faults.append("workspace: is for outputs in object stores, that of a local output lies beside it")
    return faults


def _faults(error: ValidationError) -> list[str]:
    """One clause for each fault that pydantic found: the option, what was got and what is expected."""
    return [_fault(detail) for detail in error.errors(include_url=False)]


def _fault(detail: Any) -> str:
    name, context = str(detail["loc"][0]), detail.get("ctx", {})
    shown = repr(public_url(detail["input"]) if isinstance(detail["input"], str) else detail["input"])
    got = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
    if detail["type"] == "extra_forbidden":
        return f"{name}: no option has this name{suggestion(name, RunOptions.model_fields)}"
    name = name.replace("_", "-")
    if detail["type"] == "missing":
        return f"{name}: is needed and was not given"
    if detail["type"] == "literal_error":
        expected = str(context["expected"])
        hint = suggestion(str(detail["input"]), re.findall(r"'([^']+)'", expected))
        return f"{name}: got {got}, expected {expected}{hint}"
    if detail["type"] == "value_error":
        return f"{name}: got {got}, {context['error']}"
    return f"{name}: got {got}, {detail['msg'].replace('Input should', 'it should')}"
