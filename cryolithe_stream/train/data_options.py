"""Parts of a training's configuration: simulated specimens, and pairs of a tilt series and a tomogram."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cryolithe_stream.train.sections import Count, NotNegative, Positive, Section, Share, UserPath, number

Side = Annotated[int, Field(ge=8, le=16384), BeforeValidator(number)]
HeldOut = Annotated[float, Field(ge=0, le=0.5), BeforeValidator(number)]


class FaultOptions(Section):
    """Upper ends of what goes wrong in a recording, see `cryolithe_stream.simulate.Acquisition`."""

    coloured: NotNegative = 0.5
    signal_noise: NotNegative = 0.5
    thickness_noise: NotNegative = 1.0
    frame_mean: NotNegative = 0.3
    frame_contrast: NotNegative = 0.1
    misalignment_px: NotNegative = 0.25
    ice: NotNegative = 1.5
    p_ice: Share = 0.7
    p_border: Share = 0.2
    p_drop: Share = 0.5


class PhantomOptions(Section):
    """Simulated specimens: seeds `first_seed` … and `validation_seeds`, kept in `cache` (default: OUT/phantoms).

    `depths`, `rows` and `width` are voxels, `p_finite` the share that ends at the volume's sides. Each is recorded
    again and again with `snr_db` from a range and `faults`; `pool` recordings are at hand, and a new one joins them
    after every `uses` examples of the whole training. The share `p_templates` of the specimens holds
    real macromolecules in place of procedural ones, four of those of `templates` (structures, maps, folders, lists).
    `p_ctf` is the share of the recordings with contrast transfer, `defocus_um` its range; half of them are
    phase-flipped.
    """

    weight: Positive = 1.0
    first_seed: Annotated[int, Field(ge=0)] = 1000
    count: Count = 40
    validation_seeds: tuple[Annotated[int, Field(ge=0)], ...] = (9001,)
    rows: Side = 96
    width: Side = 320
    depths: Annotated[tuple[Side, ...], Field(min_length=1)] = (96, 128, 160)
    p_finite: Share = 0.2
    cache: UserPath | None = None
    snr_db: tuple[float, float] = (-10.0, 10.0)
    faults: FaultOptions = FaultOptions()
    templates: tuple[UserPath, ...] = ()
    p_templates: Share = 0.5
    p_ctf: Share = 0.0
    defocus_um: tuple[float, float] = (2.0, 6.0)
    pool: Count = 8
    uses: Count = 6

    @model_validator(mode="after")
    def _rises(self) -> Self:
        low, high = self.snr_db
        if not -60 <= low <= high <= 60:
            raise ValueError(f"snr_db is {low:g} to {high:g}, it runs upwards within -60 and 60 decibels")
        near, far = self.defocus_um
        if not 0 < near <= far <= 30:
            raise ValueError(f"defocus_um is {near:g} to {far:g}, it runs upwards within 0 and 30 micrometres")
        return self


class PairOptions(Section):
    """A tilt series and the tomogram that the network shall make of it.

    `reference` (MRC, or OME-Zarr of this program) is aligned with the prepared stack: as many rows and columns, dark
    density. `odd` and `even` half stacks replace the full one at random; with `reference_odd` and `reference_even`
    each half is paired with the other half's tomogram. `z_limits` `[first, past]` are the sections that are used,
    `held_out` the share of rows, the last ones, that only validation sees (0: it sees what is trained on).
    """

    stack: UserPath
    reference: UserPath | None = None
    angles: UserPath | None = None
    alignment: UserPath | None = None
    alignment_pixel_size: Positive | None = None
    pixel_size: Positive | None = None
    exclude: tuple[Count, ...] = ()
    odd: UserPath | None = None
    even: UserPath | None = None
    reference_odd: UserPath | None = None
    reference_even: UserPath | None = None
    bin: Count = 1
    invert: bool = False
    invert_reference: bool = False
    z_limits: tuple[Annotated[int, Field(ge=0)], Count] | None = None
    held_out: HeldOut = 0.1
    weight: Positive = 1.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.odd is None) != (self.even is None):
            raise ValueError("odd and even half stacks come in pairs")
        if (self.reference_odd is None) != (self.reference_even is None):
            raise ValueError("reference_odd and reference_even come in pairs")
        if self.reference_odd is not None and self.odd is None:
            raise ValueError("reference_odd and reference_even need the half stacks odd and even")
        if self.reference is None and self.reference_odd is None:
            raise ValueError("a reference is needed")
        if self.z_limits is not None and self.z_limits[0] >= self.z_limits[1]:
            raise ValueError("z_limits run upwards")
        return self


class SimulatedOptions(Section):
    """A folder of simulated series with their truth, as `cryolithe-stream simulate` makes them: each becomes a pair.

    `weight` is that of all of them together; `held_out` as for pairs.
    """

    folder: UserPath
    weight: Positive = 1.0
    held_out: HeldOut = 0.1
