"""Pairs of a tilt series and a tomogram: prepared into Zarr beside the training, and read by parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryolithe_stream.evaluate import Volume
from cryolithe_stream.geometry import Box, Float32s, Floats, StripLayout, VolumeFrame
from cryolithe_stream.network.filter_records import filter_record, filter_tensors
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.prepare import prepare_projections
from cryolithe_stream.store import ProjectionStore, output_faults
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.train.checked import CheckedPair, Kind
from cryolithe_stream.train.scene import Range
from cryolithe_stream.train.volumes import Census, Scale, fit_scale, take_census

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class PairScene:
    """One stack of a pair with the tomogram that belongs to it: a `Scene` that reads what it is asked for."""

    store: ProjectionStore
    volume: Volume
    frame: VolumeFrame
    mean: float
    gain: float
    spread: float
    inside: Box

    @property
    def tilts_deg(self) -> Floats:
        """Tilt angles `(tilt,)`."""
        return self.store.tilts_deg

    def projections(self, rows: Range, columns: Range) -> Float32s:
        """Detector rows and columns of all tilts, `(tilt, row, column)`."""
        first = np.full(len(self.tilts_deg), columns[0], np.int64)
        return self.store.read_strips(StripLayout(rows[0], rows[1] - rows[0], first, columns[1] - columns[0]))

    def truth(self, box: Box) -> Float32s:
        """Voxels of a box, in density over the projections' standard deviation, `(z, y, x)`."""
        return (self.volume.read_box(box) - np.float32(self.mean)) * np.float32(self.gain)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A pair that is ready: a scene for each stack that may be the input, and the rows that only validation sees."""

    name: str
    weight: float
    scenes: tuple[PairScene, ...]
    held_out: Box
    pixel_angstrom: float
    identity: dict[str, Any]


def ready_pair(pair: CheckedPair, folder: Path, chain: ProjectionFilter, tell: Told) -> Pair:
    """The pair with its projections in `folder` and its references on their scale; what is there is used again."""
    stores = {kind: _store(pair, kind, folder, chain, tell) for kind in pair.series}
    frame, (z0, z1) = pair.frame, pair.z_limits
    _, ny, nx = frame.volume_zyx
    split = ny - _held_rows(ny, pair.options.held_out)
    scenes, found = [], {}
    sign = -1.0 if pair.options.invert_reference else 1.0
    for kind, store in stores.items():
        census, scale = _fitted(pair, kind, store, folder, chain, sign, tell)
        inside = Box((z0, 0, 0), (z1, split, nx))
        gain = scale.gain * sign
        scenes.append(
            PairScene(store, pair.volumes[kind], frame, census.mean, gain, census.deviation * scale.gain, inside)
        )
        found[kind] = {"stack": store.attributes["content_hash"], "reference": census.sha256, "gain": gain}
    held = Box((z0, split if split < ny else 0, 0), (z1, ny, nx))
    identity = {"inputs": found, **_geometry(pair)}
    main = next(iter(pair.series.values()))
    return Pair(main.stack.path.stem, pair.options.weight, tuple(scenes), held, pair.layout.pixel_angstrom, identity)


def _held_rows(rows: int, share: float) -> int:
    """Rows that only validation sees: the share, but no fewer than 24 unless that is more than a quarter."""
    return 0 if share == 0 else max(round(rows * share), min(24, rows // 4))


def _geometry(pair: CheckedPair) -> dict[str, Any]:
    main = next(iter(pair.series.values()))
    aligned = main.alignment
    arrays = [] if aligned is None else [aligned.matrix_yx, aligned.shift_yx_px, np.array(aligned.output_yx)]
    return {
        "tilts_deg": [round(float(t), 6) for t in main.tilts_deg],
        "alignment": hashlib.sha256(b"".join(np.round(a, 9).tobytes() for a in arrays)).hexdigest(),
        "axis_and_shift": [pair.layout.axis_offset_px, *pair.layout.shift_zx_px],
    }


def _store(pair: CheckedPair, kind: Kind, folder: Path, chain: ProjectionFilter, tell: Told) -> ProjectionStore:
    """The prepared projections of one stack, made unless they are there."""
    series, path, options = pair.series[kind], folder / f"{kind}.zarr", pair.options
    key = {
        "stamp": [entry for path in series.stack.files for entry in _stamp(path)],
        "bin": options.bin,
        "invert": options.invert,
        "filter": _filter_key(chain),
        **_geometry(pair),
    }

    def prepare() -> dict[str, Any]:
        tell(f"preparing {series.stack.path.name}")
        prepare_projections(series, path, bin=options.bin, invert=options.invert, filter=chain)
        return {}

    _remembered(folder / f"{kind}.json", key, prepare, there=path.exists())
    return ProjectionStore.open(path)


def _fitted(
    pair: CheckedPair,
    kind: Kind,
    store: ProjectionStore,
    folder: Path,
    chain: ProjectionFilter,
    sign: float,
    tell: Told,
) -> tuple[Census, Scale]:
    """What a reference holds, and its scale over one stack."""
    volume = pair.volumes[kind]
    path = Path(volume.name)
    key = {
        "stamp": _stamp(path),
        "z_limits": list(pair.z_limits),
        "stack": store.attributes["content_hash"],
        "invert": pair.options.invert,
        "sign": sign,
        "filter": _filter_key(chain),
        **_geometry(pair),
    }

    def fit() -> dict[str, Any]:
        tell(f"reading {path.name}")
        census = take_census(volume, pair.z_limits)
        return {"census": asdict(census), "scale": asdict(fit_scale(volume, census, store, chain, pair.frame, sign))}

    found = _remembered(folder / f"{kind}-reference.json", key, fit)
    return Census(**found["census"]), Scale(**found["scale"])


def _remembered(path: Path, key: dict[str, Any], make: Callable[[], dict[str, Any]], *, there: bool = True) -> Any:
    """What `make` gave when it was last called with this key; called now when that was never."""
    key = json.loads(json.dumps(key))
    if there and path.is_file():
        with suppress(ValueError, TypeError, KeyError):  # a damaged note is as good as none
            known = json.loads(path.read_text())
            if known["key"] == key:
                return known["found"]
    with output_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    found = make()
    write_atomically(path, json.dumps({"key": key, "found": found}, indent=1).encode())
    return found


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _filter_key(chain: ProjectionFilter) -> str:
    digest = hashlib.sha256(filter_record(chain).model_dump_json().encode())
    for name, tensor in sorted(filter_tensors(chain).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
