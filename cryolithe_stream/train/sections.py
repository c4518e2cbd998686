"""Parts of a training's configuration: the network, where examples are taken, how weights move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def number(value: object) -> object:
    """The value itself; ValueError for a truth."""
    if isinstance(value, bool):  # YAML reads `yes` as a truth, which Python counts as 1
        raise ValueError("a number is expected")
    return value


UserPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(number)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(number)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(number)]
Count = Annotated[int, Field(ge=1, le=10_000_000), BeforeValidator(number)]
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

    `crops`: boxes of `crop_zyx` grid points, predicted together (a side None is whole; at most what the volume and the
    context need); the loss leaves out `margin` voxels at each side (None: all that lack neighbours which the context
    network sees; far neighbours matter little, and a small margin makes more of each crop). Without `crop_zyx` they
    are planes of 160 columns or, for a context network, boxes of 72 × 48 × 72 with a margin of at most 8.
    `points`: `points` random points of a slab of `rows` detector rows, patches sampled around each as the paper
    defines them (eq. 5 and 6).
    """

    kind: Literal["crops", "points"] = "crops"
    crop_zyx: tuple[Count | None, Count | None, Count | None] | None = None
    margin: Annotated[int, Field(ge=0)] | None = None
    points: Count = 1024
    rows: Count = 8

    def settled(self, *, context: bool) -> Self:
        """The same with sizes of crops."""
        if self.crop_zyx is not None:
            return self
        if not context:
            return self.model_copy(update={"crop_zyx": (None, 1, 160)})
        return self.model_copy(update={"crop_zyx": (72, 48, 72), "margin": 8 if self.margin is None else self.margin})


class OptimiserOptions(Section):
    """How weights move. `warm_up` is a share of the steps; then half a cosine leads down to 1 % of `learning_rate`.

    `muon` takes orthogonal steps for the convolutions of a context network and AdamW's for all else.
    Without a `learning_rate` it is 2e-3 for new networks and 5e-4 for those that start from a model. `ema` is the
    decay of the averaged weights, `clip` the largest norm of a gradient.
    """

    kind: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: Positive | None = None
    weight_decay: NotNegative = 1e-4
    warm_up: Share = 0.03
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip: Positive = 1.0


class LearnOptions(Section):
    """What is learned besides the network: the filter's response along x, and the spacing of the patch's samples."""

    filter: bool = False
    patch_scale: bool = False
