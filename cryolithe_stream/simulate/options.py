"""Everything that a simulation can be told: one object for the command line, YAML files and Python."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Floats, Shape3
from cryolithe_stream.read import read_angles
from cryolithe_stream.simulate.ctf import Microscope
from cryolithe_stream.simulate.exposure import DoseOrder
from cryolithe_stream.simulate.particles import PARTICLES
from cryolithe_stream.simulate.phantom import PhantomOptions
from cryolithe_stream.simulate.written import Range, parse_paths, parse_range, parse_size, parse_tilts, stepped

Particles = Literal["procedural", "templates", "both", "none"]
Surroundings = Literal["periodic", "wide", "empty"]
Noise = Literal["gaussian", "poisson", "none"]

_DEFAULT_SNR = -5.0
_STEEPEST = 80.0


def _number(value: object) -> object:
    """YAML reads `yes` as a truth, which Python counts as 1."""
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value


def _output(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("the name of a folder is expected")
    return Path(value).expanduser()


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_number)]
Whole = Annotated[int, Field(ge=0, le=2**31), BeforeValidator(_number)]
PositiveRange = Annotated[Range, BeforeValidator(parse_range)]


class SimulateOptions(BaseModel):
    """Options of a set of simulated tilt series, checked as a whole: InputError lists every fault at once.

    `size` (z, y, x) in voxels; `pixel_size` and `ice_thickness` in Å, `defocus` in µm, each one number or a range that
    every series draws from; `dose` e/Å² of the whole series; `snr` in decibels, of the full images' specimen without
    gold and carbon. `membranes`, `filaments`, `lattices` and `gold`: true for in every series, false for in none, None
    for in some. `particles` None: templates where they are given, else procedural. `surroundings` None: wide with
    carbon, else periodic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Annotated[Path, BeforeValidator(_output)]
    count: Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_number)] = 1
    seed: Whole = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")] = "sim"
    size: Annotated[Shape3, BeforeValidator(parse_size)] = (128, 256, 256)
    pixel_size: PositiveRange = (10.0, 10.0)
    templates: Annotated[tuple[Path, ...], BeforeValidator(parse_paths)] = ()
    particles: Particles | None = None
    crowding: Annotated[float, Field(ge=0, le=0.6), BeforeValidator(_number)] | None = None
    membranes: bool | None = None
    filaments: bool | None = None
    lattices: bool | None = None
    gold: bool | None = None
    clutter: bool = True
    carbon: bool = False
    ice_thickness: PositiveRange | None = None
    ice_tilt: Annotated[float, Field(ge=0, le=30), BeforeValidator(_number)] = 0.0
    surroundings: Surroundings | None = None
    tilts: Annotated[str, BeforeValidator(parse_tilts)] = "-60,60,3"
    defocus: PositiveRange | None = None
    defocus_gradient: bool = False
    phase_flip: bool = False
    voltage: Annotated[float, Field(ge=80, le=1000), BeforeValidator(_number)] = 300.0
    cs: Annotated[float, Field(ge=0, le=10), BeforeValidator(_number)] = 2.7
    amplitude_contrast: Annotated[float, Field(ge=0, lt=1), BeforeValidator(_number)] = 0.07
    mtf: Annotated[float, Field(gt=0, le=1), BeforeValidator(_number)] = 1.0
    dose: Positive | None = None
    dose_order: DoseOrder = "dose-symmetric"
    damage: bool = True
    noise: Noise = "gaussian"
    snr: Annotated[float, Field(ge=-60, le=60), BeforeValidator(_number)] | None = None
    clean: bool = False
    overwrite: bool = False

    if not TYPE_CHECKING:  # type checkers keep the constructor that pydantic derives from the fields

        def __init__(self, **values: Any) -> None:
            faults: list[str] = []
            try:
                super().__init__(**values)
                faults = _conflicts(self)
            except ValidationError as error:
                faults = [_fault(detail) for detail in error.errors(include_url=False)]
            if faults:
                count = "an option is" if len(faults) == 1 else f"{len(faults)} options are"
                raise InputError(f"{count} wrong: {'; '.join(faults)}", fix="Correct that and start again")

    @classmethod
    def merged(cls, given: Mapping[str, object], config: Mapping[str, object]) -> SimulateOptions:
        """Options from what was given, else from a config file, else the defaults; None counts as not given."""
        values: dict[str, Any] = {k: v for layer in (config, given) for k, v in layer.items() if v is not None}
        return cls(**values)

    def recipe(self) -> dict[str, Any]:
        """The options that decide the content of a series, as JSON types."""
        return self.model_dump(mode="json", exclude={"output", "count", "seed", "overwrite", "templates"})

    def tilts_deg(self) -> Floats:
        """The tilt angles, `(tilt,)`. Raises InputError for files that cannot be used and tilts above 80°."""
        steps = stepped(self.tilts)
        tilts = np.round(read_angles(Path(self.tilts)), 4) if steps is None else np.array(steps, dtype=np.float64)
        if len(tilts) < 2 or np.abs(tilts).max() > _STEEPEST:
            raise InputError(
                f"{self.tilts} has {len(tilts)} tilts up to {np.abs(tilts).max(initial=0):g}°",
                fix="Give at least 2 tilts within ±80°",
            )
        return tilts

    def snr_db(self) -> float | None:
        """The SNR asked for; None where there is no noise, or where a dose decides."""
        if self.noise == "none" or (self.snr is None and self.noise == "poisson"):
            return None
        return _DEFAULT_SNR if self.snr is None else self.snr

    def microscope(self) -> Microscope:
        """Voltage, aberration and amplitude contrast."""
        return Microscope(self.voltage, self.cs, self.amplitude_contrast)

    def uses(self, kind: Literal["procedural", "templates"]) -> bool:
        """Whether macromolecules of a kind are placed."""
        chosen = self.particles or ("templates" if self.templates else "procedural")
        return chosen in (kind, "both")

    def beside(self) -> Surroundings:
        """What lies beside the volume along x."""
        return self.surroundings or ("wide" if self.carbon else "periodic")

    def phantom(self, shape_zyx: Shape3, voxel_angstrom: float, ice_angstrom: float | None) -> PhantomOptions:
        """What the phantom of one series may hold."""
        parts = {n: getattr(self, n) for n in ("membranes", "filaments", "lattices", "gold")}
        return PhantomOptions(
            shape_zyx=shape_zyx,
            voxel_angstrom=(voxel_angstrom, voxel_angstrom),
            particles=tuple(PARTICLES) if self.uses("procedural") else (),
            **{name: wanted is not False for name, wanted in parts.items()},
            periodic_x=self.beside() == "periodic",
            clutter=self.clutter,
            certain=tuple(name for name, wanted in parts.items() if wanted),
            crowding=self.crowding,
            ice_angstrom=ice_angstrom,
            ice_tilt_deg=self.ice_tilt,
            carbon=self.carbon,
            field_x=self.size[2],
        )


def _conflicts(options: SimulateOptions) -> list[str]:
    """Faults between options."""
    faults = []
    if not 0.5 <= options.pixel_size[0] <= options.pixel_size[1] <= 100:
        faults.append("pixel-size: is between 0.5 and 100 Å")
    if options.defocus is None:
        asked = [name for name in ("phase_flip", "defocus_gradient") if getattr(options, name)]
        faults += [f"{name.replace('_', '-')}: needs a defocus" for name in asked]
    elif not 0 < options.defocus[0] <= options.defocus[1] <= 30:
        faults.append("defocus: is in µm, above 0 and at most 30")
    if options.uses("templates") and not options.templates:
        faults.append("particles: templates are asked for and none are given")
    if options.templates and not options.uses("templates"):
        faults.append(f"templates: are given, but particles is {options.particles}")
    if options.noise == "poisson" and options.snr is None and options.dose is None:
        faults.append("noise: poisson needs an snr or a dose")
    if options.noise == "none" and options.snr is not None:
        faults.append("snr: is given, but noise is none")
    depth = options.size[0] * options.pixel_size[0]
    if options.ice_thickness is not None and not 0 < options.ice_thickness[0] <= options.ice_thickness[1] <= depth:
        faults.append(f"ice-thickness: is above 0 and at most the depth of the volume, {depth:g} Å")
    elif options.ice_thickness is not None and options.ice_thickness[0] < (least := 5 * options.pixel_size[1]):
        faults.append(f"ice-thickness: is at least 5 voxels, {least:g} Å")
    if options.ice_tilt and options.ice_thickness is None:
        faults.append("ice-tilt: needs an ice-thickness")
    return faults


def _fault(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "options"
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(name, list(SimulateOptions.model_fields), n=1)
        return f"{name}: no option has this name" + (f" (did you mean {close[0]!r}?)" if close else "")
    name = name.replace("_", "-")
    if detail["type"] == "missing":
        return f"{name}: is needed and was not given"
    message = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else str(detail["msg"])
    return f"{name}: got {str(detail['input'])[:100]!r}, {message.replace('Input should', 'it should')}"
