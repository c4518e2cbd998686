"""What a SliceSet is made of, in the words of the public configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from cryolithe_stream.errors import ModelError, UnsupportedError

Widths = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSetConfig:
    """Sizes and options of a SliceSet (paper, section 3.4).

    Widths are hidden layers, first to last. `slice_hidden` None leaves mlp_s out (the compact family): the mean over
    tilts goes straight into the combining MLP. `slice_axis` "row" gives each set network one detector row of the
    patch (the paper's), "column" one column. `pool` "first" keeps the first tilt's features in place of the mean.
    """

    patch_size: int
    output_size: int = 1
    set_input: int = 64
    set_hidden: Widths = (128,)
    set_output: int = 128
    set_skip: bool = False
    set_bias: bool = False
    lift_bias: bool = False
    angle_code: Literal["multiply", "add"] = "multiply"
    angle_code_base: float = 1000.0
    learned_angle_code: bool = False
    angle_code_softmax: bool = False
    slice_hidden: Widths | None = (512,) * 5
    slice_last_in: int | None = None
    slice_output: int = 32
    slice_skip: bool = False
    slice_bias: bool = False
    combine_hidden: Widths = (512,) * 5
    combine_last_in: int | None = None
    combine_skip: bool = False
    combine_bias: bool = False
    combine_batch_norm: bool = False
    set_last_in: int | None = None
    slice_axis: Literal["row", "column"] = "row"
    pool: Literal["mean", "first"] = "mean"
    learn_residual: bool = False

    def __post_init__(self) -> None:
        widths = (
            self.patch_size,
            self.output_size,
            self.set_input,
            self.set_output,
            self.slice_output,
            *self.set_hidden,
            *(self.slice_hidden or ()),
            *self.combine_hidden,
        )
        if min(widths) < 1 or max(widths) > 65536:
            raise ModelError(f"the network's widths {widths} are not all between 1 and 65,536")
        if self.slice_hidden is None and self.slice_output != self.set_output:
            raise ModelError(f"without mlp_s, slice_output is set_output = {self.set_output}, got {self.slice_output}")
        mlps = {"set": (self.set_hidden, self.set_skip), "slice": (self.slice_hidden or (), self.slice_skip)}
        for name, (hidden, skip) in {**mlps, "combine": (self.combine_hidden, self.combine_skip)}.items():
            if skip and len(set(hidden)) > 1:
                raise ModelError(f"{name} skips need hidden layers of one width, got {hidden}")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SliceSetConfig:
        """The configuration that `to_json` wrote; ModelError when fields are unknown, missing or of the wrong type."""
        known = {f.name: f for f in fields(cls)}
        if unknown := sorted(set(data) - set(known)):
            raise ModelError(f"the network's configuration has unknown fields {', '.join(unknown)}")
        try:
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the network's configuration is incomplete or of wrong types ({error})") from error

    @classmethod
    def from_public(cls, model: Mapping[str, Any]) -> SliceSetConfig:
        """The configuration behind `model` of the public `config.json`, with the public defaults filled in.

        Raises UnsupportedError for another `type` or an option that the public code itself cannot run.
        """
        options = {**_PUBLIC_DEFAULTS, **{k: v for k, v in model.items() if k != "type"}}
        if model.get("type") != "SliceSet":
            raise UnsupportedError(
                f"the checkpoint's network type is {model.get('type')!r}, only SliceSet is supported"
            )
        if unknown := sorted(set(options) - set(_PUBLIC_DEFAULTS)):
            raise UnsupportedError(f"the checkpoint's network has unknown options {', '.join(unknown)}")
        return _from_public(cls, options)


_PUBLIC_DEFAULTS: dict[str, Any] = {
    "patch_size": None,
    "mlp_output": None,
    "slice_index": 2,
    "compare_index": 3,
    "learn_residual": False,
    "set_input": 512,
    "set_output": None,
    "set_hidden_size": 1024,
    "set_num_layers": 3,
    "set_skip_connection": False,
    "set_bias": False,
    "radon_bias": True,
    "learned_positional_encoding": False,
    "learned_positional_encoding_use_softmax": False,
    "slice_transformer_avg_pooling": True,
    "slice_transformer_positional_encoding_size": 128,
    "slice_transformer_positional_encoding_base": 1000,
    "sice_transformer_transformer_positional_encoding_add_angle": False,
    "sice_transformer_positional_encoding_mult_angle": False,
    "slice_mlp_hidden_size": 512,
    "slice_mlp_num_layers": 3,
    "slice_mlp_skip_connection": False,
    "slice_mlp_bias": False,
    "combine_mlp_layers": 5,
    "combine_mlp_hidden": 256,
    "combine_dropout": 0,
    "combine_batch_norm": False,
    "combine_learn_residual": False,
    "combine_skip_connection": False,
    "combine_mlp_bias": False,
    "output_size": 1,
}


def _from_public(cls: type[SliceSetConfig], o: Mapping[str, Any]) -> SliceSetConfig:
    added = bool(o["sice_transformer_transformer_positional_encoding_add_angle"])
    if not added and not o["sice_transformer_positional_encoding_mult_angle"]:
        raise UnsupportedError("the checkpoint concatenates its angle code, which the public network cannot run either")
    if o["slice_transformer_positional_encoding_size"] != o["set_input"]:
        raise UnsupportedError(
            f"the checkpoint's angle code has {o['slice_transformer_positional_encoding_size']} numbers, "
            f"set_input is {o['set_input']}: they must be equal"
        )
    axes = [_axis(o["slice_index"]), _axis(o["compare_index"])]
    if axes not in ([2, 3], [3, 2]):
        raise UnsupportedError(f"slice_index {o['slice_index']} and compare_index {o['compare_index']} are not 2 and 3")
    if o["patch_size"] is None or o["mlp_output"] is None:
        raise ModelError("the checkpoint's configuration lacks model.patch_size or model.mlp_output")
    set_hidden, set_last = _hidden(o["set_hidden_size"], o["set_num_layers"])
    slice_hidden, slice_last = _hidden(o["slice_mlp_hidden_size"], o["slice_mlp_num_layers"])
    combine_hidden, combine_last = _hidden(o["combine_mlp_hidden"], o["combine_mlp_layers"])
    return cls(
        patch_size=o["patch_size"],
        output_size=o["output_size"],
        set_input=o["set_input"],
        set_hidden=set_hidden,
        set_last_in=set_last,
        set_output=o["set_input"] if o["set_output"] is None else o["set_output"],
        set_skip=o["set_skip_connection"],
        set_bias=o["set_bias"],
        lift_bias=o["radon_bias"],
        angle_code="add" if added else "multiply",
        angle_code_base=float(o["slice_transformer_positional_encoding_base"]),
        learned_angle_code=o["learned_positional_encoding"],
        angle_code_softmax=o["learned_positional_encoding_use_softmax"],
        slice_hidden=slice_hidden,
        slice_last_in=slice_last,
        slice_output=o["mlp_output"],
        slice_skip=o["slice_mlp_skip_connection"],
        slice_bias=o["slice_mlp_bias"],
        combine_hidden=combine_hidden,
        combine_last_in=combine_last,
        combine_skip=o["combine_skip_connection"],
        combine_bias=o["combine_mlp_bias"],
        combine_batch_norm=o["combine_batch_norm"],
        slice_axis="row" if axes[0] == 2 else "column",
        pool="mean" if o["slice_transformer_avg_pooling"] else "first",
        learn_residual=o["learn_residual"],
    )


def _axis(index: object) -> object:
    """An axis of the patches `(point, tilt, row, column)`, counted from the front."""
    return index + 4 if isinstance(index, int) and index < 0 else index


def _hidden(size: int | Sequence[int], layers: int) -> tuple[Widths, int | None]:
    """Hidden widths, and what the last layer reads when it is not the last hidden width (public standardMLP)."""
    if isinstance(size, int):
        return (size,) * layers, (None if layers else size)
    return tuple(size[:layers]), (None if layers == len(size) else size[-1])
