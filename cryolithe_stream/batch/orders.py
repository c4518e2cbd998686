"""What `batch run` was told: kept in the output folder, so that `batch retry` and `batch status` need that alone.

A batch into an object store has a folder too, where its record and its workspaces are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.manifest import Manifest, read_manifest
from cryolithe_stream.batch.record import FOLDER, BatchRecord
from cryolithe_stream.batch.runner import BatchResult, Job, run_batch
from cryolithe_stream.batch.streaming import Streaming, run_streamed
from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.run import Progress
from cryolithe_stream.store import RemotePath, output_faults
from cryolithe_stream.store.atomic import write_atomically

_MANIFEST, _GIVEN, _STREAMING = "manifest.yaml", "options.json", "streaming.json"


@dataclass(frozen=True, slots=True)
class Orders:
    """A manifest, and options of all series that win over those that its series share, not over a series' own.

    `place` is where the tomograms go, when that is an object store. `streaming` says how files of a manifest of an
    entry of EMPIAR are fetched.
    """

    manifest: Manifest
    given: Mapping[str, Any]
    place: RemotePath | None = None
    streaming: Streaming | None = None

    def told(self, folder: Path) -> Manifest:
        """The manifest with the options that win, for a batch with its record in a folder."""
        own = {} if self.place is None else {"workspace": folder}
        return replace(self.manifest, options={**self.manifest.options, **self.given, **own})

    def jobs(self, folder: Path) -> list[Job]:
        """Every series with its options. Its tomogram is `folder/NAME.ome.zarr`, or the like below `place`.

        Raises InputError.
        """
        told = self.told(folder)
        return [Job(series.name, told.run_options(series, self.place or folder)) for series in told.series]

    def run(self, folder: Path, record: BatchRecord, *, at_once: int | None, progress: Progress) -> BatchResult:
        """Run them; see `run_batch` and `run_streamed`."""
        if self.streaming is None:
            return run_batch(self.jobs(folder), record, at_once=at_once, progress=progress)
        return run_streamed(self.told(folder), folder, self.streaming, record, at_once=at_once, progress=progress)

    def keep(self, folder: Path) -> None:
        """Write them into the output folder, which is made when missing.

        Raises OutputError, also when the folder is that of a batch with its tomograms elsewhere.
        """
        place = folder / FOLDER
        known = Orders.kept(folder).place if (place / _GIVEN).exists() else self.place
        if known != self.place:
            raise OutputError(
                f"{folder} is of a batch whose tomograms are in {known or folder}", fix="Name another --workspace"
            )
        with output_faults(place):
            place.mkdir(parents=True, exist_ok=True)
        self.manifest.write(place / _MANIFEST, overwrite=True)
        streaming = None if self.streaming is None else self.streaming.to_json()
        write_atomically(place / _STREAMING, json.dumps(streaming).encode())
        elsewhere = {} if self.place is None else {"output": str(self.place)}
        write_atomically(place / _GIVEN, json.dumps({**self.given, **elsewhere}).encode())  # last: it says all is there

    @classmethod
    def kept(cls, folder: Path) -> Orders:
        """Those that `keep` wrote. Raises MissingFileError when no batch was run there, DamagedStoreError."""
        place = folder / FOLDER
        if not (place / _GIVEN).exists():
            raise MissingFileError(f"{folder} holds no batch", fix="Name the output folder of batch run")
        try:
            given = json.loads((place / _GIVEN).read_bytes())
            elsewhere = given.pop("output", None)
            streaming = json.loads((place / _STREAMING).read_bytes())
            how = None if streaming is None else Streaming.from_json(streaming)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise DamagedStoreError(
                f"what {place} keeps cannot be read", fix="Delete that folder and start batch run again; tomograms stay"
            ) from error
        return cls(read_manifest(place / _MANIFEST), given, elsewhere and RemotePath.parse(elsewhere), how)
