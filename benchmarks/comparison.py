"""Every method on one recorded series, and what is written down of a benchmark."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.denoisers import BestGaussian, BestWiener, Denoiser, Topaz
from benchmarks.reconstructions import Reconstruction
from benchmarks.scores import BAND, POINT, Score
from benchmarks.specimen import Specimen
from cryolithe_stream.engines import Precision
from cryolithe_stream.geometry import Float32s

LEVELS = (-10.0, -5.0, 0.0, 5.0, 10.0)
HEADLINE = -5.0
_PACKAGES = ("cryolithe-stream", "torch", "numpy", "scipy", "topaz-em")


@dataclass(frozen=True, slots=True, eq=False)
class Methods:
    """What is compared: filtered back-projection, what denoises it, and models.

    `topaz_levels` are the noise levels in dB at which Topaz, the slowest by far, is run; None is all.
    """

    fbp: Reconstruction
    denoisers: tuple[Denoiser, ...]
    models: tuple[Reconstruction, ...]
    topaz_levels: tuple[float, ...] | None = None

    @classmethod
    def of(
        cls,
        models: Sequence[str],
        *,
        topaz: Sequence[float] | None = None,
        precision: Precision = "auto",
        device: str = "auto",
    ) -> Methods:
        """The methods of a benchmark; Topaz at the levels of `topaz`, none named for all, where it is installed."""
        denoisers: list[Denoiser] = [BestGaussian(), BestWiener()]
        if topaz is not None and (found := Topaz.installed()) is not None:
            denoisers.append(found)
        found_models = models_of(models, precision=precision, device=device)
        return cls(Reconstruction.of(None, device=device), tuple(denoisers), found_models, tuple(topaz or ()) or None)

    def denoisers_at(self, snr_db: float) -> list[Denoiser]:
        """Those that are run at a noise level."""
        left_out = self.topaz_levels is not None and snr_db not in self.topaz_levels
        return [d for d in self.denoisers if not (left_out and isinstance(d, Topaz))]

    @property
    def names(self) -> list[str]:
        """Names of the methods, as tables order them."""
        return ["FBP", *(f"FBP + {d.name}" for d in self.denoisers), *(m.name for m in self.models)]

    def describe(self) -> dict[str, Any]:
        """What was compared, as JSON; models by name, fingerprint and number format."""
        models = {
            m.name: {
                "fingerprint": m.recipe.model_fingerprint,
                "parameters": 0 if m.model is None else m.model.n_parameters,
                "precision": m.recipe.precision,
            }
            for m in self.models
        }
        return {"names": self.names, "models": models}


def models_of(
    specs: Sequence[str], *, precision: Precision = "auto", device: str = "auto"
) -> tuple[Reconstruction, ...]:
    """The models that `specs` name; of those with one name the second gets a number."""
    found: list[Reconstruction] = []
    for spec in specs:
        model = Reconstruction.of(spec, precision=precision, device=device)
        same = sum(other.name.split(" (")[0] == model.name for other in found)
        found.append(replace(model, name=f"{model.name} ({same + 1})") if same else model)
    return tuple(found)


def measure(specimen: Specimen, snr_db: float, methods: Methods) -> list[dict[str, Any]]:
    """A record for each method: its score, the setting it chose, and the seconds it took from recorded series on."""
    recorded, shape = specimen.recorded(snr_db), specimen.shape_zyx
    common = {"specimen": specimen.name, "input_snr_db": snr_db, "voxels": specimen.truth.size}
    found = []
    started = time.perf_counter()
    fbp = methods.fbp.volume(recorded, specimen.tilts_deg, shape)
    fbp_seconds = time.perf_counter() - started
    outcomes: list[tuple[str, Float32s, float | None, float]] = [("FBP", fbp, None, fbp_seconds)]
    for denoiser in methods.denoisers_at(snr_db):
        started = time.perf_counter()
        volume, setting = denoiser(fbp, specimen.truth, specimen.rows)
        outcomes.append((f"FBP + {denoiser.name}", volume, setting, fbp_seconds + time.perf_counter() - started))
    for model in methods.models:
        started = time.perf_counter()
        volume = model.volume(recorded, specimen.tilts_deg, shape)
        outcomes.append((model.name, volume, None, time.perf_counter() - started))
    for name, volume, setting, seconds in outcomes:
        score = asdict(Score.of(volume, specimen))
        found.append({"method": name, **common, **score, "setting": setting, "seconds": seconds})
    return found


def describe_specimen(specimen: Specimen) -> dict[str, Any]:
    """A specimen as JSON."""
    low, high = specimen.tilt_range_deg
    return {
        "name": specimen.name,
        "shape_zyx": list(specimen.shape_zyx),
        "voxel_angstrom": round(specimen.voxel_angstrom, 3),
        "tilts": {"first": low, "last": high, "count": len(specimen.tilts_deg)},
        "noise_seed": specimen.noise_seed,
    }


def describe_run() -> dict[str, Any]:
    """Date, versions and threads, for whoever repeats it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "band_cycles_per_voxel": list(BAND),
        "point_cycles_per_voxel": POINT,
    }


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all; a number that is not finite is an error."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
