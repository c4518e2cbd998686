"""Draw the Fourier shell correlation with the truth of filtered back-projection and a model, of a simulated series.

python examples/figure_fsc.py PICTURE.png [--model default] [--snr -5] [--seed 3] [--size 96,96,128]

Three panels: all frequencies, those that the tilts measured, and those in the missing wedge.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cryolithe_stream import reconstruct
from cryolithe_stream.evaluate import Fsc, fourier_shell_correlation, open_volume
from cryolithe_stream.evaluate.plot import figure_bytes, fsc_figure
from cryolithe_stream.simulate import SimulateOptions, simulate


def main() -> None:
    """Simulates, reconstructs, compares and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", default="default", help="as `cryolithe-stream run --model` takes it")
    parser.add_argument("--snr", type=float, default=-5.0, help="of the projections, dB")
    parser.add_argument("--seed", type=int, default=3, help="of the specimen")
    parser.add_argument("--size", default="96,96,128", help="voxels of 10 Å, Z,Y,X")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cryolithe-") as folder:
        options = SimulateOptions(output=Path(folder) / "series", seed=args.seed, size=args.size, snr=args.snr)
        figure = fsc_figure(curves(options, args.model, Path(folder)))
    args.picture.write_bytes(figure_bytes(figure, ".png"))
    print(args.picture)


def curves(options: SimulateOptions, model: str, folder: Path) -> dict[str, Fsc]:
    """The correlations of FBP and of the model with the truth of one simulated series."""
    manifest = simulate(options)
    (series,) = manifest.series
    stack, angles = manifest.path(series.files.stack), manifest.path(series.files.angles)
    truth = open_volume(manifest.path(series.files.truth))
    tilts = (min(series.tilts_deg), max(series.tilts_deg))
    found = {}
    for name, choice in (("FBP", {"method": "fbp"}), (Path(model).stem, {"model": model})):
        out = folder / f"{len(found)}.ome.zarr"
        reconstruct(stack, angles, out=out, thickness=truth.shape_zyx[0], **choice)
        found[name] = fourier_shell_correlation(open_volume(out), truth, tilt_range_deg=tilts)
    return found


if __name__ == "__main__":
    main()
