"""A server, and a client that is impatient enough for tests."""

from __future__ import annotations

import random
import threading

import pytest

from cryolithe_stream.empiar import Client, NoProgress, RemoteFile, Server
from cryolithe_stream.empiar.download import download
from cryolithe_stream_cli.main import main
from tests.empiar import server as http
from tests.empiar.entry_support import NAMES, OPTIONS, TOP, TRANSFORMS
from tests.run.run_support import fingerprint_of_files, write_series

DATA = random.Random(0).randbytes(300_000)
ENTRY = {
    "EMPIAR-10499": {
        "title": "In-cell ribosomes", "status": "REL", "dataset_size": "3.2 TB", "release_date": "2020-07-01",
        "entry_doi": "10.6019/EMPIAR-10499",
        "imagesets": [
            {
                "name": "tilt series", "directory": "/data/tiltseries", "category": "tilt series", "data_format": "MRC",
                "header_format": "MRC", "num_images_or_tilt_series": 65, "frames_per_image": 41,
                "voxel_type": "SIGNED 16 BIT INTEGER", "image_width": "3838", "image_height": "3710",
                "pixel_width": 1.7, "pixel_height": 1.7,
            }
        ],
    }
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def archive():
    return http.Archive()


@pytest.fixture
def address(archive):
    server = http.Server(archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.url
    archive.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(address):
    return Server(
        api_url=f"{address}/api",
        files_url=f"{address}/files",
        timeout_s=0.5,
        attempts=4,
        first_pause_s=0.01,
        longest_pause_s=1.5,
    )


@pytest.fixture
def client(server):
    client = Client(server)
    yield client
    client.halt()


@pytest.fixture
def filled(archive):
    """The archive with three series of two files each, of 40 kB together, and a readme."""
    randomness = random.Random(1)
    for i in range(3):
        archive.files[f"10499/data/run{i}/run{i}.st"] = randomness.randbytes(39_000)
        archive.files[f"10499/data/run{i}/AreTomo/run{i}.tlt"] = randomness.randbytes(900)
    archive.files["10499/README.txt"] = b"read me"
    archive.entries["EMPIAR-10499"] = ENTRY
    return archive


class Watched(NoProgress):
    """Counts the bytes that are there, by what is told."""

    n_bytes = 0

    def arrived(self, n_bytes):
        self.n_bytes += n_bytes

    present = arrived


@pytest.fixture
def file(archive, server):
    archive.files["10499/a.mrc"] = DATA
    return RemoteFile("a.mrc", f"{server.folder_url('10499')}a.mrc", None)


@pytest.fixture
def loaded(client, file, tmp_path):
    """A function that downloads the file and returns the bytes that were told to have arrived."""

    def load(file=file):
        watched = Watched()
        download(client, file, tmp_path / "a.mrc", watched)
        return watched.n_bytes

    return load


@pytest.fixture(scope="session")
def entry(tmp_path_factory):
    """Files of five series as EMPIAR-11830 has them, by their paths, and a folder of them."""
    folder, files = tmp_path_factory.mktemp("entry"), {}
    for i in range(5):
        made = write_series(folder / f"s{i}", n_tilts=9, shape_yx=(60, 64), seed=i)
        angles, stack = made["angles"].read_bytes(), made["stack"].read_bytes()
        files |= {
            f"{TOP}/p{i}/p{i}.st": stack,
            f"{TOP}/p{i}/p{i}.rawtlt": angles,
            f"{TOP}/p{i}/AreTomo/p{i}_dose-filt.tlt": angles,
            f"{TOP}/p{i}/AreTomo/p{i}_dose-filt.xf": TRANSFORMS,
        }
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder / "11830", files


@pytest.fixture(scope="session")
def clean(entry, tmp_path_factory):
    """The tomograms of a batch of the same files, here."""
    out = tmp_path_factory.mktemp("clean")
    assert main(["batch", "run", str(entry[0]), "-o", str(out), *OPTIONS]) == 0
    return {name: fingerprint_of_files(out / f"{name}.ome.zarr") for name in NAMES}


@pytest.fixture
def public(archive, address, entry, monkeypatch):
    archive.files |= entry[1]
    monkeypatch.setenv("CRYOLITHE_EMPIAR_FILES", f"{address}/files")
    return archive
