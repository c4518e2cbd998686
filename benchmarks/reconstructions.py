"""From recorded series to volumes, with the engines that `cryolithe-stream run` takes, on arrays in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryolithe_stream.engines import Precision, Strips, resolve_device, resolve_precision
from cryolithe_stream.geometry import Box, Float32s, Floats, Shape3, StripLayout, VolumeFrame
from cryolithe_stream.network import Model, load_model
from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.run.job import Recipe, reconstructor_for
from cryolithe_stream.run.survey import DEFAULT_OVERSAMPLE


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """A model, or filtered back-projection without one, evaluated as a run evaluates it."""

    name: str
    model: Model | None
    recipe: Recipe

    @classmethod
    def of(cls, spec: str | None, *, precision: Precision = "auto", device: str = "auto") -> Reconstruction:
        """The model that `spec` names as `--model` does; None is filtered back-projection, in float32."""
        if spec is None:
            return cls("FBP", None, Recipe("fbp", "features", None, None, 1, 1.0, "float32", device))
        model = load_model(spec)
        number = resolve_precision(precision, resolve_device(device))
        oversample = model.oversample or DEFAULT_OVERSAMPLE
        recipe = Recipe("network", "features", spec, model.fingerprint, oversample, model.patch_scale, number, device)
        return cls(model.name, model, recipe)

    @property
    def filter(self) -> ProjectionFilter:
        """What is done to each normalised projection."""
        return ProjectionFilter(ramp=CosineRamp()) if self.model is None else self.model.filter

    def volume(self, recorded: Float32s, tilts_deg: Floats, shape_zyx: Shape3) -> Float32s:
        """The volume `(z, y, x)` of a recorded series `(tilt, y, x)`, centred over it, in one block.

        The series is normalised by its mean and standard deviation and filtered, as preparation does.
        """
        mean, std = recorded.mean(dtype=np.float64), recorded.std(dtype=np.float64)
        normalised = ((recorded - mean) / std).astype(np.float32)
        projections = self.filter.apply(torch.from_numpy(normalised)).numpy()
        frame = VolumeFrame(shape_zyx, (recorded.shape[1], recorded.shape[2]))
        blocks, whole = reconstructor_for(self.recipe, frame, self.model), Box.whole(shape_zyx)
        layout = blocks.layout(whole, tilts_deg)
        strips = Strips.of(layout, strips_of(projections, layout), tilts_deg)
        return np.asarray(blocks.voxels(whole, strips)[0])


def strips_of(projections: Float32s, layout: StripLayout) -> Float32s:
    """The strips `(tilt, row, column)` of a layout, zero outside the projections `(tilt, y, x)`."""
    _, rows, width = projections.shape
    strips = np.zeros(layout.shape, np.float32)
    y0, y1 = max(0, layout.first_row), min(rows, layout.first_row + layout.n_rows)
    for strip, image, first in zip(strips, projections, layout.first_column, strict=True):
        x0, x1 = max(0, int(first)), min(width, int(first) + layout.n_columns)
        if x0 < x1 and y0 < y1:
            strip[y0 - layout.first_row : y1 - layout.first_row, x0 - first : x1 - first] = image[y0:y1, x0:x1]
    return strips
