"""How good a network is: signal-to-noise against the truth, beside the best smoothed filtered back-projection."""

from __future__ import annotations

import numpy as np
import torch
from dataset import Recording
from forward import Plane, evaluate_rows
from torch import Tensor

from cryolithe_stream.engines.backproject import Backprojector
from cryolithe_stream.geometry import Float32s, Floats
from cryolithe_stream.network.sliceset import SliceSet

SIGMAS = np.arange(0, 4.01, 0.25)


def snr_db(estimate: Float32s, truth: Float32s) -> float:
    """Signal-to-noise ratio of an estimate after its best affine fit to the truth, in decibels."""
    a, b = estimate.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
    correlation = np.corrcoef(a, b)[0, 1]
    return float(-10 * np.log10(1 - correlation**2))


def reconstruct(
    network: SliceSet, recording: Recording, rows: list[int], *, dtype: torch.dtype = torch.float32
) -> Float32s:
    """The network's planes `(row, z, x)` of some rows."""
    nz, _, nx = recording.shape_zyx
    plane = Plane.build(recording.grid(0, nx), recording.tilts_deg, dtype)
    tilts = torch.from_numpy(recording.tilts_deg)
    with torch.inference_mode():
        parts = [evaluate_rows(network, recording.filtered, [row], plane, tilts)[0] for row in rows]
    return torch.stack(parts).reshape(len(rows), nz, nx).numpy()


def back_project(recording: Recording) -> Float32s:
    """Filtered back-projection `(z, y, x)`, in the truth's units."""
    nz, ny, nx = recording.shape_zyx
    margin = nz
    padded = torch.nn.functional.pad(recording.filtered, (margin, margin))
    n_tilts, _, width = padded.shape
    operator = Backprojector.build(
        recording.grid(0, nx),
        recording.tilts_deg,
        range(n_tilts),
        first_pixel=np.full(n_tilts, -margin),
        n_positions=width,
        oversample=1,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    values = operator(padded.transpose(1, 2).reshape(n_tilts * width, ny).contiguous())
    return (values.reshape(nz, nx, ny).transpose(1, 2) * (np.pi / 2)).numpy()


def smoothed(volume: Float32s, sigma: float) -> Float32s:
    """The volume convolved with a Gaussian of `sigma` voxels, edges repeated."""
    if sigma == 0:
        return volume
    reach = int(np.ceil(4 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel: Floats = taps / taps.sum()
    result = torch.from_numpy(np.ascontiguousarray(volume))
    for axis in range(3):
        result = _convolved(result.movedim(axis, -1), kernel, reach).movedim(-1, axis)
    return result.numpy()


def _convolved(lines: Tensor, kernel: Floats, reach: int) -> Tensor:
    shape = lines.shape
    flat = torch.nn.functional.pad(lines.reshape(1, -1, shape[-1]), (reach, reach), mode="replicate")
    weight = torch.from_numpy(kernel).to(lines.dtype)[None, None]
    return torch.nn.functional.conv1d(flat.transpose(0, 1), weight).reshape(shape)


def best_smoothed_fbp(recording: Recording, rows: list[int]) -> tuple[float, float, Float32s]:
    """SNR, sigma and planes `(row, z, x)` of the Gaussian-smoothed FBP that fits the truth best on these rows."""
    volume = back_project(recording)
    truth = recording.truth[:, rows].transpose(1, 0, 2)
    scores = []
    for sigma in SIGMAS:
        planes = smoothed(volume, float(sigma))[:, rows].transpose(1, 0, 2)
        scores.append((snr_db(planes, truth), float(sigma), planes))
        if len(scores) > 2 and scores[-1][0] < scores[-2][0] < scores[-3][0]:
            break
    return max(scores, key=lambda score: score[0])


def wedge_fsc(estimate: Float32s, truth: Float32s, tilts_deg: Floats, band: tuple[float, float]) -> float:
    """Fourier shell correlation inside the missing wedge, over one band of frequencies (cycles per voxel).

    Volumes `(z, y, x)`; the wedge holds the frequencies that no tilt between the first and the last measures.
    """
    spectra = [np.fft.rfftn(v.astype(np.float64) - v.mean()) for v in (estimate, truth)]
    z, y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in truth.shape[:2]), np.fft.rfftfreq(truth.shape[2]), indexing="ij")
    radius = np.sqrt(z**2 + y**2 + x**2)
    angle = np.rad2deg(np.arctan2(z, x))
    missing = (angle > tilts_deg.max()) | (angle < tilts_deg.min())
    kept = missing & (radius >= band[0]) & (radius < band[1])
    a, b = (s[kept] for s in spectra)
    return float((a * b.conj()).sum().real / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()))
