"""What `batch run` was told: kept in the output folder, so that `batch retry` and `batch status` need that alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.manifest import Manifest, read_manifest
from cryolithe_stream.batch.record import FOLDER
from cryolithe_stream.batch.runner import Job
from cryolithe_stream.errors import DamagedStoreError, MissingFileError
from cryolithe_stream.store import output_faults
from cryolithe_stream.store.atomic import write_atomically

_MANIFEST, _GIVEN = "manifest.yaml", "options.json"


@dataclass(frozen=True, slots=True)
class Orders:
    """A manifest, and options of all series that win over those that its series share, not over a series' own."""

    manifest: Manifest
    given: Mapping[str, Any]

    def jobs(self, folder: Path) -> list[Job]:
        """Every series with its options; its tomogram is `folder/NAME.ome.zarr`. Raises InputError."""
        told = Manifest(
            self.manifest.source,
            self.manifest.recipe,
            self.manifest.series,
            {**self.manifest.options, **self.given},
            self.manifest.skipped,
        )
        return [Job(series.name, told.run_options(series, folder)) for series in told.series]

    def keep(self, folder: Path) -> None:
        """Write them into the output folder, which is made when missing. Raises OutputError."""
        place = folder / FOLDER
        with output_faults(place):
            place.mkdir(parents=True, exist_ok=True)
        self.manifest.write(place / _MANIFEST, overwrite=True)
        write_atomically(place / _GIVEN, json.dumps(dict(self.given)).encode())

    @classmethod
    def kept(cls, folder: Path) -> Orders:
        """Those that `keep` wrote. Raises MissingFileError when no batch was run there, DamagedStoreError."""
        place = folder / FOLDER
        if not (place / _GIVEN).exists():
            raise MissingFileError(f"{folder} holds no batch", fix="Name the output folder of batch run")
        try:
            given = json.loads((place / _GIVEN).read_bytes())
        except (OSError, ValueError) as error:
            raise DamagedStoreError(f"{place / _GIVEN} cannot be read", fix="Start batch run again") from error
        return cls(read_manifest(place / _MANIFEST), given)
