"""What `batch run` was told: kept in the output folder, so that `batch retry` and `batch status` need that alone.

A batch into an object store has a folder too, where its record and its workspaces are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.manifest import Manifest, read_manifest
from cryolithe_stream.batch.record import FOLDER
from cryolithe_stream.batch.runner import Job
from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.store import RemotePath, output_faults
from cryolithe_stream.store.atomic import write_atomically

_MANIFEST, _GIVEN = "manifest.yaml", "options.json"


@dataclass(frozen=True, slots=True)
class Orders:
    """A manifest, and options of all series that win over those that its series share, not over a series' own.

    `place` is where the tomograms go, when that is an object store.
    """

    manifest: Manifest
    given: Mapping[str, Any]
    place: RemotePath | None = None

    def jobs(self, folder: Path) -> list[Job]:
        """Every series with its options. Its tomogram is `folder/NAME.ome.zarr`, or the like below `place`.

        Raises InputError.
        """
        own = {} if self.place is None else {"workspace": folder}
        told = Manifest(
            self.manifest.source,
            self.manifest.recipe,
            self.manifest.series,
            {**self.manifest.options, **self.given, **own},
            self.manifest.skipped,
        )
        return [Job(series.name, told.run_options(series, self.place or folder)) for series in told.series]

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
        elsewhere = {} if self.place is None else {"output": str(self.place)}
        write_atomically(place / _GIVEN, json.dumps({**self.given, **elsewhere}).encode())

    @classmethod
    def kept(cls, folder: Path) -> Orders:
        """Those that `keep` wrote. Raises MissingFileError when no batch was run there, DamagedStoreError."""
        place = folder / FOLDER
        if not (place / _GIVEN).exists():
            raise MissingFileError(f"{folder} holds no batch", fix="Name the output folder of batch run")
        try:
            given = json.loads((place / _GIVEN).read_bytes())
            elsewhere = given.pop("output", None)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DamagedStoreError(f"{place / _GIVEN} cannot be read", fix="Start batch run again") from error
        return cls(read_manifest(place / _MANIFEST), given, elsewhere and RemotePath.parse(elsewhere))
