"""`cryolithe-stream simulate`: whole folders, the same bytes again, and `run` on what it made."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from ome_zarr_models import open_ome_zarr

from cryolithe_stream.errors import InputError, MemoryBudgetError, OutputError
from cryolithe_stream.simulate import SimulateOptions, read_manifest, simulate
from cryolithe_stream.simulate import series as series_module
from cryolithe_stream.store import open_tomogram
from cryolithe_stream_cli.main import app, main
from cryolithe_stream_cli.simulate import FLAGS

SMALL = {"size": "24,32,40", "tilts": "-60,60,10", "seed": 5}


def small(output, **changes):
    return SimulateOptions(output=output, **{**SMALL, **changes})


def stack(path):
    with mrcfile.open(path) as file:
        return np.array(file.data)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def level_db(signal, noise):
    return 10 * np.log10(signal.var(dtype=np.float64) / noise.var(dtype=np.float64))


def test_every_option_is_a_flag():
    assert {flag.name for flag in FLAGS} | {"output"} == set(SimulateOptions.model_fields)
    assert "simulate" in {command.callback.__name__ for command in app.registered_commands}


def test_from_the_command_line_to_a_tomogram(tmp_path, molecules, capsys):
    config = tmp_path / "options.yaml"
    config.write_text("size: [24, 32, 40]\ntilts: -60,60,6\nsnr: -20\npixel-size: [9, 11]\n")
    out = tmp_path / "set"
    words = [str(out), "--config", str(config), "--templates", str(molecules), "--crowding", "0.1", "--snr", "3"]
    switches = ["--clean", "--gold", "--no-membranes", "--no-filaments", "--no-clutter", "--count", "2"]
    assert main(["simulate", *words, *switches]) == 0
    assert capsys.readouterr().out.splitlines() == [f"made: {out}/sim_0000{i}" for i in (1, 2)]
    manifest = read_manifest(out)
    assert sorted(p.name for p in out.iterdir()) == ["manifest.yaml", "sim_00001", "sim_00002"]
    for entry in manifest.series:
        files = {p.name for p in (out / entry.name).iterdir()}
        expected = {f"{entry.name}{end}.mrc" for end in ("", "_odd", "_even", "_clean")}
        assert files == expected | {f"{entry.name}.tlt", f"{entry.name}_particles.tsv", "truth.mrc", "truth.ome.zarr"}
        assert entry.snr_db == 3.0
        assert 9 <= entry.pixel_angstrom <= 11
        assert entry.holds["brick"] > 0
        assert entry.holds["gold"] > 0
        assert entry.holds.get("membranes", 0) == 0
        open_ome_zarr(manifest.path(entry.files.truth))
        truth = stack(manifest.path(entry.files.truth_mrc))
        np.testing.assert_array_equal(open_tomogram(manifest.path(entry.files.truth)).level(0)[:], truth)
        assert truth.min() < -2.0  # gold is in it
    first = manifest.series[0]
    with mrcfile.open(manifest.path(first.files.stack)) as file:
        assert (file.header.mode, file.header.nsymbt, file.data.shape) == (2, 0, (21, 32, 40))
        assert float(file.voxel_size.x) == pytest.approx(first.pixel_angstrom, rel=1e-5)
    run = ["run", str(manifest.path(first.files.stack)), "--angles", str(manifest.path(first.files.angles))]
    tomogram = tmp_path / "tomogram.mrc"
    assert main([*run, "--method", "fbp", "--thickness", "24", "--cluster", "threads:1", "-o", str(tomogram)]) == 0
    found, truth = stack(tomogram), stack(manifest.path(first.files.truth_mrc))
    alike = np.corrcoef(found.ravel(), truth.ravel())[0, 1]
    assert alike > 0.5
    for mirrored in (truth[::-1], truth[:, ::-1], truth[:, :, ::-1]):
        assert np.corrcoef(found.ravel(), mirrored.ravel())[0, 1] < 0.6 * alike


def test_halves_sum_to_the_full_stack_at_the_stated_snr(tmp_path):
    entry = simulate(small(tmp_path / "set", snr=-4, clean=True, gold=False)).series[0]
    full, odd, even, clean = (
        stack(tmp_path / "set" / getattr(entry.files, n)) for n in ("stack", "odd", "even", "clean")
    )
    np.testing.assert_allclose(full, odd + even, atol=1e-5)
    assert level_db(clean, full - clean) == pytest.approx(-4.0, abs=0.1)
    for half in (odd, even):
        assert level_db(clean / 2, half - clean / 2) == pytest.approx(-7.01, abs=0.1)
    assert abs(np.corrcoef((odd - clean / 2).ravel(), (even - clean / 2).ravel())[0, 1]) < 0.02
    assert (full - clean).std() == pytest.approx(entry.noise_sigma, rel=0.02)
    assert not np.array_equal(full[0] - clean[0], full[1] - clean[1])


def test_the_snr_is_that_of_the_specimen_without_gold(tmp_path):
    entries = [simulate(small(tmp_path / str(gold), snr=0, gold=gold)).series[0] for gold in (True, False)]
    # Gold is drawn last, so the specimen is the same.
    assert entries[0].noise_sigma == pytest.approx(entries[1].noise_sigma, rel=1e-6)


def test_poisson_counts_have_the_snr_and_the_dose_that_were_asked_for(tmp_path):
    by_snr = simulate(small(tmp_path / "a", noise="poisson", snr=-3, clean=True, gold=False)).series[0]
    full, clean = (stack(tmp_path / "a" / getattr(by_snr.files, n)) for n in ("stack", "clean"))
    clean = clean.astype(np.float64) - clean.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    slope, offset = np.polyfit(clean.ravel(), full.ravel(), 1)
    expected = slope * clean + offset
    assert slope > 0
    assert level_db(expected, full - expected) == pytest.approx(-3.0, abs=0.15)
    assert offset == pytest.approx(by_snr.counts_per_pixel, rel=0.01)
    assert (full - expected).var() == pytest.approx(full.mean(), rel=0.05)
    by_dose = simulate(small(tmp_path / "b", noise="poisson", dose=26, damage=False, gold=False)).series[0]
    assert by_dose.counts_per_pixel == pytest.approx(26 / 13 * 10.0**2)
    assert by_dose.dose_per_tilt_e_a2 == pytest.approx(2.0)
    assert stack(tmp_path / "b" / by_dose.files.stack).mean() == pytest.approx(200, rel=0.02)


def test_the_same_seed_and_options_give_the_same_bytes(tmp_path, molecules):
    rich = {
        "templates": molecules,
        "particles": "both",
        "crowding": 0.05,
        "carbon": True,
        "defocus": "2,3",
        "defocus_gradient": True,
        "phase_flip": True,
        "mtf": 0.6,
        "dose": 80,
        "noise": "poisson",
        "ice_thickness": "120,180",
        "ice_tilt": 3,
        "pixel_size": "8,12",
        "clean": True,
    }
    for name in ("a", "b"):
        simulate(small(tmp_path / name, **rich))
    first, second = content(tmp_path / "a"), content(tmp_path / "b")
    assert first == second
    assert len(first) > 10
    entry = read_manifest(tmp_path / "a").series[0]
    assert len(set(entry.defocus_um)) > 1
    assert entry.dose_before_e_a2[6] == 0.0
    assert np.isfinite(stack(tmp_path / "a" / entry.files.clean)).all()
    simulate(small(tmp_path / "a", **rich, count=2))
    second = content(tmp_path / "a" / "sim_00006")
    assert second["truth.mrc"] != first["sim_00005/truth.mrc"]


def test_finished_series_are_kept_and_missing_ones_made(tmp_path):
    heard = []

    def listen(status, path):
        heard.append((status, path.name))

    simulate(small(tmp_path, count=2), listen)
    before = content(tmp_path)
    shutil.rmtree(tmp_path / "sim_00006")
    stamp = (tmp_path / "sim_00005" / "sim_00005.mrc").stat().st_mtime_ns
    simulate(small(tmp_path, count=3), listen)
    made, kept = ("made", "kept")
    names = ["sim_00005", "sim_00006", "sim_00007"]
    assert heard == [(made, names[0]), (made, names[1]), (kept, names[0]), (made, names[1]), (made, names[2])]
    after = content(tmp_path)
    assert {k: after[k] for k in before if k != "manifest.yaml"} == {
        k: v for k, v in before.items() if k != "manifest.yaml"
    }
    assert (tmp_path / "sim_00005" / "sim_00005.mrc").stat().st_mtime_ns == stamp


def test_an_interrupted_series_has_no_name_and_is_made_by_the_same_command(tmp_path, monkeypatch):
    whole = series_module.write_images

    def interrupted(*arguments, **options):
        whole(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(series_module, "write_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(small(tmp_path))
    assert not list(tmp_path.iterdir())
    simulate(small(tmp_path))
    assert [e.name for e in read_manifest(tmp_path).series] == ["sim_00005"]


def test_a_series_that_no_manifest_lists_yet_is_made_again_by_the_same_command_only(tmp_path):
    simulate(small(tmp_path))
    before = content(tmp_path)
    (tmp_path / "manifest.yaml").unlink()
    with pytest.raises(OutputError, match="no manifest lists it"):
        simulate(small(tmp_path, snr=3))
    simulate(small(tmp_path))
    assert content(tmp_path) == before


def test_other_options_are_refused_or_replace_what_is_there(tmp_path):
    simulate(small(tmp_path, count=2))
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    with pytest.raises(OutputError, match=r"other options \(snr\)"):
        simulate(small(tmp_path, snr=3))
    simulate(small(tmp_path, snr=3, overwrite=True))
    assert [e.snr_db for e in read_manifest(tmp_path).series] == [3.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manifest.yaml", "notes.txt", "sim_00005"]
    (tmp_path / "sim_00006").mkdir()
    with pytest.raises(OutputError, match="sim_00006 exists"):
        simulate(small(tmp_path, snr=3, count=2, overwrite=True))
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": "1,2"}, "size"),
        ({"size": "0,64,64"}, "size"),
        ({"tilts": "60,-60,3"}, "tilts"),
        ({"tilts": "-90,90,3"}, "80"),
        ({"pixel_size": "12,8"}, "pixel-size"),
        ({"pixel_size": "nan"}, "pixel-size"),
        ({"defocus": "0"}, "defocus"),
        ({"phase_flip": True}, "phase-flip: needs a defocus"),
        ({"noise": "poisson"}, "needs an snr or a dose"),
        ({"noise": "none", "snr": 3}, "noise is none"),
        ({"particles": "templates"}, "none are given"),
        ({"ice_thickness": 5000}, "depth of the volume, 240"),
        ({"ice_thickness": 40}, "at least 5 voxels, 50"),
        ({"ice_tilt": 5}, "needs an ice-thickness"),
        ({"name": "../x"}, "name"),
        ({"crowding": 2}, "crowding"),
        ({"count": True}, "a number is expected"),
        ({"memrane": True}, "did you mean 'membranes'"),
        ({"mtf": 0}, "mtf"),
        ({"output": ""}, "name of a folder"),
        ({"output": [1]}, "name of a folder"),
        ({"templates": [["a.pdb"]]}, "a list of paths"),
    ],
)
def test_wrong_options_are_told_by_name(tmp_path, changes, told):
    with pytest.raises(InputError) as fault:
        small(**{"output": tmp_path, **changes})
    assert told in str(fault.value)
    assert not list(tmp_path.iterdir())


def test_all_faults_are_told_at_once_with_exit_code_two(tmp_path, capsys):
    assert main(["simulate", str(tmp_path / "x"), "--size", "9", "--snr", "loud"]) == 2
    line = capsys.readouterr().err
    assert "2 options are wrong" in line
    assert line.count("\n") == 1
    assert main(["simulate"]) == 2
    assert "output: is needed" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_sizes_beyond_the_memory_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(MemoryBudgetError, match="GiB are free"):
        simulate(small(tmp_path / "set", size="4096,8192,8192"))
    assert not (tmp_path / "set").exists()


def test_tilts_come_from_a_file_too(tmp_path):
    angles = tmp_path / "mine.tlt"
    angles.write_text("-41.5\n-3\n0.25\n38\n")
    entry = simulate(small(tmp_path / "set", tilts=angles)).series[0]
    assert entry.tilts_deg == [-41.5, -3.0, 0.25, 38.0]
    assert entry.shape_tyx == (4, 32, 40)
    angles.write_text("-85\n0\n")
    with pytest.raises(InputError, match="within ±80"):
        simulate(small(tmp_path / "other", tilts=angles))


def test_an_empty_specimen_has_no_snr(tmp_path):
    nothing = dict.fromkeys(("membranes", "filaments", "lattices", "gold", "clutter"), False)
    with pytest.raises(InputError, match="specimen is empty"):
        simulate(small(tmp_path / "set", particles="none", **nothing))
    entry = simulate(small(tmp_path / "set2", particles="none", noise="none", **nothing)).series[0]
    assert not stack(tmp_path / "set2" / entry.files.stack).any()
    blank = {"noise": "poisson", "snr": 0, "mtf": 1e-12, "dose": 1e9, "gold": False}
    with pytest.raises(InputError, match="specimen is empty"):
        simulate(small(tmp_path / "set3", **blank))


def test_more_electrons_than_can_be_counted_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"electrons a pixel, the limit is 1e\+12"):
        simulate(small(tmp_path / "set", noise="poisson", snr=None, dose=1e12, damage=False))
    assert not (tmp_path / "set").exists()
