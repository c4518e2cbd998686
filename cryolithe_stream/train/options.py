"""What a training is told: one YAML file, judged as a whole before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.train.faults import sentences

LossName = Literal["l1", "l2", "smooth_l1"]
NO_WEIGHTS = ("checkpoint_every",)
"""Keys that change no weight: a run that is continued may change them."""


def _number(value: object) -> object:
    if isinstance(value, bool):  # YAML reads `yes` as a truth, which Python counts as 1
        raise ValueError("a number is expected")
    return value


def _name(value: str) -> str:
    if not value or not all(c.isalnum() or c in "-_." for c in value) or value.startswith("."):
        raise ValueError("letters, digits, '-', '_' and '.' make a name")
    return value


UserPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_number)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_number)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_number)]
Count = Annotated[int, Field(ge=1, le=10_000_000), BeforeValidator(_number)]
Widths = tuple[Annotated[int, Field(ge=1, le=65536)], ...]


class Section(BaseModel):
    """A part of the configuration: immutable, and no key is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkOptions(Section):
    """Sizes of the SliceSet: those of a family, and what differs from them.

    `compact` is the design that runs fast (patch 11, no mlp_s), `paper` the published one (patch 21, mlp_s).
    """

    family: Literal["compact", "paper"] = "compact"
    patch_size: Annotated[int, Field(ge=1, le=127)] | None = None
    set_input: Count | None = None
    set_hidden: Widths | None = None
    set_output: Count | None = None
    slice_hidden: Widths | None = None
    slice_output: Count | None = None
    combine_hidden: Widths | None = None
    set_skip: bool | None = None
    slice_skip: bool | None = None
    combine_skip: bool | None = None


class SamplingOptions(Section):
    """Where examples are taken.

    `crops`: boxes of `crop_zyx` grid points, predicted together (None: the whole side; at most what the volume and
    the context need); the loss leaves out `margin` voxels at each side (None: all that lack neighbours which the
    context network sees; far neighbours matter little, and a small margin makes more of each crop).
    `points`: `points` random points of a slab of `rows` detector rows, patches sampled around each as the paper
    defines them (eq. 5 and 6).
    """

    kind: Literal["crops", "points"] = "crops"
    crop_zyx: tuple[Count | None, Count | None, Count | None] = (None, 1, 160)
    margin: Annotated[int, Field(ge=0)] | None = None
    points: Count = 1024
    rows: Count = 8


class OptimiserOptions(Section):
    """How weights move. `warm_up` is a share of the steps; then half a cosine leads down to 1 % of `learning_rate`.

    Without a `learning_rate` it is 2e-3 for new networks and 5e-4 for those that start from a model. `ema` is the
    decay of the averaged weights, `clip` the largest norm of a gradient.
    """

    kind: Literal["adam", "adamw"] = "adamw"
    learning_rate: Positive | None = None
    weight_decay: NotNegative = 1e-4
    warm_up: Share = 0.03
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip: Positive = 1.0


class LearnOptions(Section):
    """What is learned besides the network: the filter's response along x, and the spacing of the patch's samples."""

    filter: bool = False
    patch_scale: bool = False


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
    after every `uses` examples of the whole training.
    """

    weight: Positive = 1.0
    first_seed: Annotated[int, Field(ge=0)] = 1000
    count: Count = 40
    validation_seeds: tuple[Annotated[int, Field(ge=0)], ...] = (9001,)
    rows: Count = 96
    width: Count = 320
    depths: Annotated[tuple[Count, ...], Field(min_length=1)] = (96, 128, 160)
    p_finite: Share = 0.2
    cache: UserPath | None = None
    snr_db: tuple[float, float] = (-10.0, 10.0)
    faults: FaultOptions = FaultOptions()
    pool: Count = 8
    uses: Count = 6


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
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
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


class TrainOptions(Section):
    """Everything that a training can be told; InputError lists every fault at once.

    Without `network` the training starts from the shipped model (`start: default`). `steps` and all else that decides
    the weights belong to the run's identity: the schedule depends on them.
    """

    name: Annotated[str, AfterValidator(_name)] = "trained"
    seed: Annotated[int, Field(ge=0), BeforeValidator(_number)] = 1
    steps: Count = 1000
    start: str | None = None
    network: NetworkOptions | None = None
    context: dict[str, Any] | None = None
    target: Literal["pixel", "wavelet"] | None = None
    wavelet: str | None = None
    oversample: Annotated[int, Field(ge=1, le=64)] | None = None
    sampling: SamplingOptions = SamplingOptions()
    loss: LossName = "smooth_l1"
    batch: Count = 4
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimiser: OptimiserOptions = OptimiserOptions()
    learn: LearnOptions = LearnOptions()
    phantoms: PhantomOptions | None = None
    pairs: tuple[PairOptions, ...] = ()
    log_every: Count = 20
    validate_every: Count = 200
    checkpoint_every: Count = 100

    if not TYPE_CHECKING:  # type checkers keep the constructor that pydantic derives from the fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise sentences(error, TrainOptions) from error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        points = self.sampling.kind == "points"
        if self.phantoms is None and not self.pairs:
            raise ValueError("there is nothing to train on: give phantoms or pairs")
        if self.start is not None and self.network is not None:
            raise ValueError("start brings its own network: leave network out")
        if self.target == "pixel" and self.wavelet is not None:
            raise ValueError("wavelet belongs to the target wavelet")
        if self.context is not None and points:
            raise ValueError("context needs neighbours: sampling.kind must be crops")
        if (self.learn.patch_scale or self.learn.filter) and not points:
            raise ValueError("learn.filter and learn.patch_scale need sampling.kind points")
        return self

    @property
    def start_from(self) -> str | None:
        """The model whose weights are the first ones; None for random ones."""
        return "default" if self.start is None and self.network is None else self.start

    @property
    def learning_rate(self) -> float:
        """The largest learning rate."""
        given = self.optimiser.learning_rate
        return given if given is not None else 2e-3 if self.start_from is None else 5e-4

    def identity(self) -> dict[str, Any]:
        """All that decides the weights, as JSON; files count by their content (see `data`), not by their names."""
        paths = {name for name, field in PairOptions.model_fields.items() if "Path" in str(field.annotation)}
        return self.model_dump(
            mode="json",
            exclude={
                **dict.fromkeys(NO_WEIGHTS, True),
                "start": True,
                "phantoms": {"cache": True},
                "pairs": {"__all__": dict.fromkeys(paths, True)},
            },
        )


def read_options(path: Path) -> TrainOptions:
    """The options in a YAML file, read without building objects; relative paths start at the current folder.

    Raises MissingFileError, FormatError, or InputError with every fault.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror})", fix="Check its name") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not YAML ({' '.join(str(error).split())})", fix="Correct it") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path} holds no options", fix="Write one 'name: value' a line")
    return TrainOptions(**content)
