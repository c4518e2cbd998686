"""What the steps of a batch cost on a machine, as `benchmarks/costs.py` measured it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryolithe_stream.errors import FormatError, InputError
from cryolithe_stream.read import read_mapping
from cryolithe_stream.run.job import Recipe

SHIPPED = Path(__file__).with_name("costs.yaml")
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepareCosts(_Strict):
    """Preparation of a stack on one worker: seconds for each raw pixel, and for each pixel of the projections."""

    per_raw_pixel: Seconds
    per_pixel: Seconds


class BlockCosts(_Strict):
    """Reconstruction of a block without its files: seconds once, and for each unit of the plan's cost model."""

    each: Seconds
    per_unit: Seconds


class FileCosts(_Strict):
    """Files of a worker, from and into the page cache: seconds once for a task, and for each byte."""

    each: Seconds
    per_byte: Seconds


class ClientCosts(_Strict):
    """The client and, where it started it, the scheduler: seconds for each task, block on record, and series."""

    per_task: Seconds
    per_mark: Seconds
    per_series: Seconds


class Costs(_Strict):
    """What was measured on `machine` on the day `measured`; `blocks` by `recipe_name`, a worker is one thread."""

    machine: str
    measured: str
    prepare: PrepareCosts
    blocks: dict[str, BlockCosts]
    read: FileCosts
    write: FileCosts
    pyramid: FileCosts
    client: ClientCosts

    def block(self, recipe: Recipe) -> BlockCosts:
        """What blocks of a recipe cost. Raises InputError when that was not measured."""
        name = recipe_name(recipe)
        if name not in self.blocks:
            known = ", ".join(sorted(self.blocks))
            raise InputError(
                f"the costs of {self.machine} do not hold {name!r}; they hold {known}",
                fix="Choose one with --model, --method and --precision, or measure this with benchmarks/costs.py",
            )
        return self.blocks[name]


def recipe_name(recipe: Recipe) -> str:
    """What costs call a recipe: `fbp float32 cpu`, `default features bfloat16 cpu`."""
    device = recipe.device.partition(":")[0]
    words: Iterable[str | None] = (recipe.precision, device)
    method = ("fbp",) if recipe.model is None else (Path(recipe.model).stem, recipe.engine)
    return " ".join(str(word) for word in (*method, *words))


def read_costs(path: Path = SHIPPED) -> Costs:
    """The costs in a YAML file. Raises MissingFileError and FormatError."""
    fix = "Give a file that benchmarks/costs.py wrote"
    content = read_mapping(path, "the costs", fix=fix)
    try:
        return Costs.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise FormatError(f"the costs {path} are none: {place}: {first['msg']}", fix=fix) from error
