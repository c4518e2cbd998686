"""Small networks with every option of the public configuration, and projections to run them on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cryolithe_stream.engines import BlockReconstructor, Strips
from cryolithe_stream.geometry import Box
from cryolithe_stream.network import SliceSet, SliceSetConfig

BASE = SliceSetConfig(
    patch_size=5,
    set_input=12,
    set_hidden=(16,),
    set_output=8,
    set_skip=True,
    slice_hidden=(16, 16),
    slice_output=6,
    slice_skip=True,
    combine_hidden=(24, 24),
    combine_skip=True,
)
CONFIGS = {
    "paper": BASE,
    "compact": replace(BASE, slice_hidden=None, slice_output=8),
    "columns": replace(BASE, slice_axis="column"),
    "compact-columns": replace(BASE, slice_axis="column", slice_hidden=None, slice_output=8),
    "biases": replace(BASE, lift_bias=True, set_bias=True, slice_bias=True, combine_bias=True),
    "compact-biases": replace(
        BASE, slice_hidden=None, slice_output=8, lift_bias=True, set_bias=True, combine_bias=True
    ),
    "added-code": replace(BASE, angle_code="add"),
    "learned-code": replace(BASE, learned_angle_code=True, angle_code_softmax=True, lift_bias=True),
    "first-tilt": replace(BASE, pool="first"),
    "residual": replace(BASE, learn_residual=True),
    "first-tilt-residual": replace(BASE, pool="first", learn_residual=True),
    "batch-norm": replace(BASE, combine_batch_norm=True),
    "even-patch": replace(BASE, patch_size=6),
    "deep-set": replace(BASE, set_hidden=(16, 16, 16)),
    "one-layer-each": replace(BASE, set_hidden=(), slice_hidden=(), combine_hidden=(), set_skip=False),
    "wavelet": replace(BASE, output_size=8),
}
TILTS_DEG = np.array([-58.0, -41.0, -22.5, -3.0, 0.0, 17.0, 30.0, 44.0, 61.0])
DETECTOR_YX = (21, 34)
VOLUME_ZYX = (13, 21, 34)
CPU = torch.device("cpu")


def network(config: SliceSetConfig, seed: int = 0) -> SliceSet:
    """A network whose output is of order one, batch statistics included."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = SliceSet(config).eval()
        for parameter in made.parameters():
            fan_in = parameter.shape[-1] if parameter.ndim > 1 else 4
            torch.nn.init.normal_(parameter, std=(2.0 / fan_in) ** 0.5)
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return made


def smooth_projections(seed: int = 1) -> np.ndarray:
    """Band-limited noise `(tilt, y, x)` of unit variance."""
    noise = np.random.default_rng(seed).standard_normal((len(TILTS_DEG), *DETECTOR_YX))
    fy, fx = np.fft.fftfreq(DETECTOR_YX[0])[:, None], np.fft.fftfreq(DETECTOR_YX[1])
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-((fy / 0.2) ** 2 + (fx / 0.2) ** 2))).real
    return (smooth / smooth.std()).astype(np.float32)


def strips_of(reconstructor: BlockReconstructor, box: Box, projections: np.ndarray) -> Strips:
    """The strips of a box, cut out of projections by brute force."""
    layout = reconstructor.layout(box, TILTS_DEG)
    values = np.zeros(layout.shape, np.float32)
    _, rows, width = projections.shape
    r = np.arange(layout.first_row, layout.first_row + layout.n_rows)
    for t, first in enumerate(layout.first_column):
        c = np.arange(first, first + layout.n_columns)
        inside_r, inside_c = (r >= 0) & (r < rows), (c >= 0) & (c < width)
        values[t][np.ix_(inside_r, inside_c)] = projections[t][np.ix_(r[inside_r], c[inside_c])]
    return Strips.of(layout, values, TILTS_DEG)


def voxels(reconstructor: BlockReconstructor, box: Box, projections: np.ndarray, *, halves: bool = False) -> np.ndarray:
    """Voxels `(set, z, y, x)` of a box."""
    return reconstructor.voxels(box, strips_of(reconstructor, box, projections), halves=halves)
