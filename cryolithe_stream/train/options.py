"""What a training is told: one YAML file, judged as a whole before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from cryolithe_stream.read import read_mapping
from cryolithe_stream.train.data_options import PairOptions, PhantomOptions, SimulatedOptions
from cryolithe_stream.train.faults import sentences
from cryolithe_stream.train.sections import (
    Count,
    LearnOptions,
    NetworkOptions,
    OptimiserOptions,
    SamplingOptions,
    Section,
    number,
)

LossName = Literal["l1", "l2", "smooth_l1"]
NO_WEIGHTS = ("checkpoint_every",)
"""Keys that change no weight: a run that is continued may change them."""


def _name(value: str) -> str:
    if not value or not all(c.isalnum() or c in "-_." for c in value) or value.startswith("."):
        raise ValueError("letters, digits, '-', '_' and '.' make a name")
    return value


class TrainOptions(Section):
    """Everything that a training can be told; InputError lists every fault at once.

    Without `network` the training starts from the shipped model (`start: default`). `steps` and all else that decides
    the weights belong to the run's identity: the schedule depends on them.
    """

    name: Annotated[str, AfterValidator(_name)] = "trained"
    seed: Annotated[int, Field(ge=0), BeforeValidator(number)] = 1
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
    simulated: tuple[SimulatedOptions, ...] = ()
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
        if self.phantoms is None and not self.pairs and not self.simulated:
            raise ValueError("there is nothing to train on: give phantoms, pairs or simulated folders")
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
                "phantoms": {"cache": True, "templates": True},
                "pairs": {"__all__": dict.fromkeys(paths, True)},
                "simulated": {"__all__": {"folder": True}},
            },
        )


def read_options(path: Path) -> TrainOptions:
    """The options in a YAML file, read without building objects; relative paths start at the current folder.

    Raises MissingFileError, FormatError, or InputError with every fault.
    """
    content = read_mapping(path, "the config file", fix="Write one 'name: value' a line")
    return TrainOptions(**content)
