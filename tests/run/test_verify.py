"""Damage of finished tomograms is found wherever it is, and repaired to the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_support import fingerprint_of_files, options, write_series, write_stack

from cryolithe_stream.errors import FormatError, InputError, OutputError, UnsupportedError
from cryolithe_stream.run import reconstruct_series, repair_tomogram, verify_tomogram
from cryolithe_stream.run.progress import Silent
from cryolithe_stream.run.repair_claim import repair_folder
from cryolithe_stream.store import Ledger, open_tomogram
from cryolithe_stream_cli.main import main


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Filtered back-projections with halves, of several shards."""
    folder = tmp_path_factory.mktemp("made")
    given = write_series(folder / "in", n_tilts=9, shape_yx=(150, 170))
    out = folder / "t.ome.zarr"
    reconstruct_series(options(out, **given, method="fbp", thickness=70, halves=True, memory="900MiB"))
    return out


def shards(tomogram: Path, level: int) -> list[Path]:
    return sorted(p for p in (tomogram / str(level)).rglob("*") if p.is_file() and "/c/" in str(p))


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path, place: int) -> None:
    file.write_bytes(file.read_bytes()[:place])


def test_what_was_just_made_is_whole(made):
    for name in ("t.ome.zarr", "t_odd.ome.zarr", "t_even.ome.zarr"):
        found = verify_tomogram(made.with_name(name))
        layout = open_tomogram(made.with_name(name)).layout
        upper = sum(len(layout.shard_indices(level)) for level in range(1, len(layout.level_shapes)))
        assert not found.damages and found.n_checked > upper > 0


@pytest.mark.parametrize("name", ["t.ome.zarr", "t_odd.ome.zarr"])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(("harm", "place"), [(flip, 3000), (flip, -20), (cut, 1000), (cut, 0), (Path.unlink, None)])
def test_damage_is_found_and_repaired_to_the_same_bytes(made, tmp_path, name, level, harm, place):
    """A byte of a chunk or of a shard's index flipped, a shard cut or empty, a shard that is gone."""
    damaged = tmp_path / name
    shutil.copytree(made.with_name(name), damaged)
    file = shards(damaged, level)[-1]
    harm(file) if place is None else harm(file, place)
    found = verify_tomogram(damaged)
    assert [damage.level for damage in found.damages] == [level]
    repaired = repair_tomogram(found, cluster="threads:2")
    assert not repaired.damages
    assert fingerprint_of_files(damaged) == fingerprint_of_files(made.with_name(name))
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_the_command_tells_and_repairs(made, tmp_path, capsys):
    damaged = tmp_path / "t.ome.zarr"
    shutil.copytree(made, damaged)
    for level in (0, 1):
        cut(shards(damaged, level)[0], 100)
    assert main(["verify", str(damaged), str(made)]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[0].startswith("2 of ") and told.out.splitlines()[1] == f"whole: {made}"
    assert "level 0, voxels 0:" in told.err
    assert main(["verify", str(damaged), "--repair", "--cluster", "threads:2"]) == 0
    assert capsys.readouterr().out == f"whole: {damaged}\n"
    assert main(["verify", str(damaged)]) == 0


def test_what_a_killed_repair_left_is_taken_up_and_goes(made, tmp_path, capsys):
    """Also where the run had workers that the cluster of the repair is not asked for."""
    damaged = tmp_path / "t.ome.zarr"
    shutil.copytree(made, damaged)
    root = json.loads((damaged / "zarr.json").read_text())
    root["attributes"]["cryolithe_stream"]["options"] |= {"cluster": "slurm", "adapt": [1, 4], "overwrite": True}
    (damaged / "zarr.json").write_text(json.dumps(root))
    flip(shards(damaged, 0)[0], 3000)
    left = repair_folder(damaged)
    with Ledger.create(left, {"repairs": damaged.name, "owner": "before"}, ""):
        (left / "0123").mkdir()
        with pytest.raises(OutputError, match="is writing to"):
            repair_tomogram(verify_tomogram(damaged), cluster="threads:2")
    assert main(["info", str(left), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["of"] == "t.ome.zarr"
    assert not repair_tomogram(verify_tomogram(damaged), cluster="threads:2").damages
    assert fingerprint_of_files(damaged) == fingerprint_of_files(made)
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_run_that_replaces_the_tomogram_meanwhile_keeps_its_voxels(made, tmp_path):
    damaged, other = tmp_path / "t.ome.zarr", tmp_path / "away.ome.zarr"
    shutil.copytree(made, damaged)
    flip(shards(damaged, 0)[0], 3000)

    class Rival(Silent):
        """Puts another tomogram in the place when blocks are about to be made."""

        def phase(self, name, total, unit):
            if name == "repairing":
                damaged.rename(other)
                shutil.copytree(made.with_name("t_odd.ome.zarr"), damaged)

    with pytest.raises(OutputError, match="written anew"):
        repair_tomogram(verify_tomogram(damaged), cluster="threads:2", progress=Rival())
    assert fingerprint_of_files(damaged) == fingerprint_of_files(made.with_name("t_odd.ome.zarr"))
    assert sorted(tmp_path.iterdir()) == [other, damaged]


def test_a_stack_that_changed_cannot_repair(made, tmp_path):
    """The recorded options name a stack whose content is another now."""
    given = write_series(tmp_path / "in", n_tilts=9, shape_yx=(40, 60))
    out = tmp_path / "t.ome.zarr"
    reconstruct_series(options(out, **given, method="fbp", thickness=12))
    flip(shards(out, 0)[0], 50)
    write_stack(given["stack"], write_other(given["stack"]))
    with pytest.raises(InputError, match="has changed since it was made"):
        repair_tomogram(verify_tomogram(out), cluster="threads")
    given["stack"].unlink()
    with pytest.raises(InputError, match="does not exist"):
        repair_tomogram(verify_tomogram(out), cluster="threads")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "t.ome.zarr"]


def write_other(stack: Path):
    import mrcfile

    with mrcfile.open(stack) as file:
        return file.data.copy()[::-1]


def test_what_has_no_checksums_is_refused(made, tmp_path):
    given = write_series(tmp_path / "in", n_tilts=5, shape_yx=(30, 40))
    reconstruct_series(options(tmp_path / "t.mrc", **given, method="fbp", thickness=8))
    with pytest.raises(UnsupportedError, match="MRC"):
        verify_tomogram(tmp_path / "t.mrc")
    with pytest.raises(FormatError):
        verify_tomogram(tmp_path / "in")
