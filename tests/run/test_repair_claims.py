"""Who may repair a tomogram in an object store: one at a time, and nobody beside a run."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from object_store_support import arguments, refused, run
from repair_support import MARK, Hook, again, delete, flip, left_behind, put, shards
from s3_support import objects

from cryolithe_stream.errors import OutputError
from cryolithe_stream.run import repair_tomogram, verify_tomogram
from cryolithe_stream.run.repair_claim import repair_folder
from cryolithe_stream.store import claim_output, open_tomogram, place_of, release_output
from cryolithe_stream_cli.main import main


def test_one_repair_at_a_time_and_no_run_beside_it(made, whole, files, out, tmp_path):
    series, _ = made
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flip(files, out, shards(whole, 0)[0])
    found = verify_tomogram(out)
    met = []

    def rivals() -> None:
        with pytest.raises(OutputError, match="is writing to"):
            repair_tomogram(found, cluster="threads", workspace=tmp_path)
        with pytest.raises(OutputError, match="is under repair since 20") as caught:
            repair_tomogram(found, cluster="threads", workspace=elsewhere)
        assert "--take-over" in caught.value.fix
        with pytest.raises(OutputError, match="is under repair since 20"):
            run(out, elsewhere, series, thickness=16, overwrite=True)
        assert open_tomogram(out).finished
        met.append(True)

    left = repair_tomogram(found, cluster="threads", workspace=tmp_path, progress=Hook("repairing", rivals))
    assert met and not left.damages and objects(files, out[5:]) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"] and not list(elsewhere.iterdir())


@pytest.mark.slow
def test_two_that_start_at_the_same_moment(whole, files, out, tmp_path):
    for name in shards(whole, 0):
        delete(files, out, name)
    found = verify_tomogram(out)
    ends: list[object] = []

    def one(folder: Path) -> None:
        folder.mkdir()
        try:
            ends.append(repair_tomogram(found, cluster="threads", workspace=folder))
        except OutputError as error:
            ends.append(error)

    threads = [threading.Thread(target=one, args=(tmp_path / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    refusals = [end for end in ends if isinstance(end, OutputError)]
    assert len(ends) == 2 and len(refusals) <= 1 and all("under repair" in str(error) for error in refusals)
    assert objects(files, out[5:]) == whole


def test_a_run_keeps_repairs_out(whole, files, out, tmp_path):
    flip(files, out, shards(whole, 0)[0])
    place = place_of(out)
    claim_output(place, "a run", overwrite=True)
    with pytest.raises(OutputError, match=r"a run is writing .* since 20"):
        again(out, tmp_path)
    assert not again(out, tmp_path, take_over=True).damages
    release_output(place, "a run")
    assert objects(files, out[5:]) == whole and not list(tmp_path.iterdir())


def test_what_a_killed_repair_left_is_taken_up_there_and_elsewhere_on_demand(whole, files, out, tmp_path, capsys):
    flip(files, out, shards(whole, 0)[0])
    left_behind(out, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(OutputError, match="under repair since"):
        again(out, elsewhere)
    assert not again(out, tmp_path).damages
    assert objects(files, out[5:]) == whole and list(tmp_path.iterdir()) == [elsewhere]

    left_behind(out, tmp_path)
    assert main(["verify", out, "--repair", "--workspace", str(tmp_path)]) == 0, "nothing is damaged, its mark goes"
    assert objects(files, out[5:]) == whole and list(tmp_path.iterdir()) == [elsewhere]

    left_behind(out, tmp_path)
    code, line = refused(["verify", out, "--take-over"], capsys)
    assert (code, "are for --repair" in line) == (2, True)
    assert main(["verify", out, "--repair", "--take-over", "--workspace", str(elsewhere)]) == 0
    assert objects(files, out[5:]) == whole and not list(elsewhere.iterdir())


def test_a_folder_of_another_repair_is_not_used(whole, files, out, tmp_path):
    flip(files, out, shards(whole, 0)[0])
    other = out.replace("/dir/", "/other/")
    for name, data in whole.items():
        put(files, other, name, data)
    left_behind(other, tmp_path)
    with pytest.raises(OutputError, match=f"holds an unfinished repair of {other}"):
        again(out, tmp_path)
    folder = repair_folder(place_of(out), tmp_path / "b")
    folder.mkdir(parents=True)
    (folder / "notes.txt").touch()
    with pytest.raises(OutputError, match="holds no repair"):
        again(out, tmp_path / "b")
    with pytest.raises(OutputError, match="not an existing folder"):
        again(out, tmp_path / "none")


def test_what_was_replaced_since_it_was_verified_is_left_alone(whole, files, out, proxy, tmp_path):
    flip(files, out, shards(whole, 0)[0])
    found = verify_tomogram(out)
    put(files, out, shards(whole, 0)[0], whole[shards(whole, 0)[0]])
    proxy.headers_seen.clear()
    assert not repair_tomogram(found, cluster="threads", workspace=tmp_path).damages
    assert not [path for method, path, _ in proxy.headers_seen if method == "PUT" and "/c/" in path]


def test_a_repair_that_was_taken_over_writes_nothing_more(whole, files, out, proxy, tmp_path):
    for name in (shards(whole, 0)[0], shards(whole, 1)[0]):
        delete(files, out, name)
    mark = json.dumps({"cryolithe_stream": {"owner": "rival", "since": "now", "work": "repair"}}).encode()
    before = objects(files, out[5:])
    for phase in ("preparing", "repairing"):
        with pytest.raises(OutputError, match=r"has taken .* over"):
            again(out, tmp_path, progress=Hook(phase, lambda: put(files, out, MARK, mark)))
        assert objects(files, out[5:]) == {**before, MARK: mark}, "the rival's mark stays too"
        assert not list(tmp_path.iterdir())
        delete(files, out, MARK)


def test_an_image_that_someone_puts_there_meanwhile_is_left_alone(whole, files, out, tmp_path):
    for name in (shards(whole, 0)[0], shards(whole, 1)[0]):
        delete(files, out, name)
    other = json.loads(whole["zarr.json"])
    other["attributes"]["cryolithe_stream"]["figures"] = {}
    before = {**objects(files, out[5:]), "zarr.json": json.dumps(other).encode()}
    for phase in ("preparing", "repairing"):
        put(files, out, "zarr.json", whole["zarr.json"])
        with pytest.raises(OutputError, match="written anew while it was repaired"):
            again(out, tmp_path, progress=Hook(phase, lambda: put(files, out, "zarr.json", before["zarr.json"])))
        assert objects(files, out[5:]) == before and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_repair_and_a_run_that_replaces_follow_each_other(made, whole, files, out, tmp_path, capsys):
    series, _ = made
    flip(files, out, shards(whole, 0)[0])
    found = verify_tomogram(out)
    assert main(arguments(series, out, tmp_path, "--overwrite", "--dtype", "float16")) == 0
    replaced = objects(files, out[5:])
    assert not repair_tomogram(found, cluster="threads", workspace=tmp_path).damages
    assert objects(files, out[5:]) == replaced
    capsys.readouterr()
