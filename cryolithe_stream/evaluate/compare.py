"""An estimate against the truth: agreement voxel by voxel, and shell by shell."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryolithe_stream.errors import CryolitheWarning, MissingFileError
from cryolithe_stream.evaluate.agreement import Agreement, agreement
from cryolithe_stream.evaluate.fsc import Fsc, fourier_shell_correlation
from cryolithe_stream.evaluate.volumes import VolumeLike, as_volume
from cryolithe_stream.evaluate.window import DEFAULT_TAPER
from cryolithe_stream.store import Place, PlaceLike, place_of

_SUFFIXES = (".ome.zarr", ".mrc")


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What `compare` found: the fit over the voxels, and the Fourier shell correlation."""

    agreement: Agreement
    fsc: Fsc

    def to_json(self) -> dict[str, Any]:
        """Both as JSON."""
        return {"agreement": self.agreement.to_json(), "fsc": self.fsc.to_json()}


def compare(
    estimate: VolumeLike,
    truth: VolumeLike,
    *,
    voxel_angstrom: float | None = None,
    tilt_range_deg: tuple[float, float] | None = None,
    mask: VolumeLike | None = None,
    taper: float = DEFAULT_TAPER,
    memory_bytes: int | None = None,
) -> Comparison:
    """Compare an estimate `(z, y, x)` with the truth; options and errors as in `fourier_shell_correlation`.

    The taper is for the transform alone: every voxel counts in the agreement, weighted by the mask where there is one.
    Warns when the two correlate negatively: then the density of one is likely inverted.
    """
    estimate, truth = as_volume(estimate, "the estimate"), as_volume(truth, "the truth")
    found = agreement(estimate, truth, mask=mask)
    if found.correlation < 0:
        warnings.warn(
            f"{estimate.name} correlates negatively with the truth ({found.correlation:.3f}): is the density of one "
            "inverted? The signal-to-noise ratio after an affine fit does not tell",
            CryolitheWarning,
            stacklevel=2,
        )
    shells = fourier_shell_correlation(
        estimate,
        truth,
        voxel_angstrom=voxel_angstrom,
        tilt_range_deg=tilt_range_deg,
        mask=mask,
        taper=taper,
        memory_bytes=memory_bytes,
    )
    return Comparison(found, shells)


def half_volumes(tomogram: PlaceLike) -> tuple[Place, Place]:
    """The volumes of the odd and the even tilts that a run with `--halves` left beside a tomogram.

    Raises MissingFileError when they are not there.
    """
    path = place_of(tomogram)
    path = Path(os.path.normpath(path)) if isinstance(path, Path) else path
    suffix = next((s for s in _SUFFIXES if path.name.endswith(s)), path.suffix)
    stem = path.name.removesuffix(suffix) if suffix else path.name
    odd, even = (path.with_name(f"{stem}_{half}{suffix}") for half in ("odd", "even"))
    missing = [half.name for half in (odd, even) if not half.exists()]
    if missing:
        raise MissingFileError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not beside {path}",
            fix="Reconstruct with --halves, or name both half volumes",
        )
    return odd, even
