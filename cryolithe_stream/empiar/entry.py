"""What EMPIAR's database says of an entry: title, size, image sets, pixel sizes.

The format, as public programs read it (https://www.ebi.ac.uk/empiar/api/documentation was not at hand): the address
`…/api/entry/EMPIAR-10511/` gives an object whose one key is the accession (empiarreader takes its first value).
In it `title`, `status` ("REL" once released), `release_date`, `entry_doi`, `experiment_type`, `dataset_size` (text such
as "1.9 TB") and `imagesets`, each with `name`, `directory`, `category`, `header_format`, `data_format`, `voxel_type`,
`num_images_or_tilt_series` and `frames_per_image` (numbers), `image_width` and `image_height` (texts), `pixel_width`
and `pixel_height` (numbers: angstrom; EMPIAR-13192 gives 650.0 for 65 nm). The spelling of values is from checks that
published data recipes make of EMPIAR-10318, 10511 and 13192. Depositors fill it in: `directory` can differ from the
real folder, and anything can be missing, so nothing here is required.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from cryolithe_stream.empiar.client import Client
from cryolithe_stream.empiar.names import printable
from cryolithe_stream.errors import RemoteError

_MOST_BYTES = 16 * 2**20
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class ImageSet:
    """One set of images as its depositor described it; `image_yx` in pixels, `pixel_yx_angstrom` at that size."""

    name: str
    directory: str
    category: str
    header_format: str
    data_format: str
    voxel_type: str
    n_images: int | None
    frames_per_image: int | None
    image_yx: tuple[int, int] | None
    pixel_yx_angstrom: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of EMPIAR; texts are empty where nothing is said."""

    accession: str
    title: str
    size: str
    status: str
    released: str
    doi: str
    experiment: str
    image_sets: tuple[ImageSet, ...]


def read_entry(client: Client, number: str) -> Entry | None:
    """The entry of that number, None where EMPIAR has none. Raises RemoteError for answers that are no entry."""
    url = client.server.entry_url(number)
    data = client.body(url, _MOST_BYTES)
    return None if data is None else parse_entry(data, number, url)


def parse_entry(data: bytes, number: str, source: str) -> Entry | None:
    """The entry in an answer of EMPIAR's; None where it holds none. Raises RemoteError for what is no JSON object."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"{source} gives no JSON") from error
    accession = f"EMPIAR-{number}"
    if not isinstance(found, dict):
        raise RemoteError(f"{source} gives no entry")
    inner = found.get(accession, next(iter(found.values()), None) if len(found) == 1 else found)
    if not isinstance(inner, dict) or not inner.keys() & {"title", "imagesets"}:
        return None
    sets = inner.get("imagesets")
    return Entry(
        accession=accession,
        title=_text(inner, "title"),
        size=_text(inner, "dataset_size"),
        status=_text(inner, "status"),
        released=_text(inner, "release_date"),
        doi=_text(inner, "entry_doi"),
        experiment=_text(inner, "experiment_type"),
        image_sets=tuple(_image_set(s) for s in sets if isinstance(s, dict)) if isinstance(sets, list) else (),
    )


def _image_set(found: dict[str, Any]) -> ImageSet:
    height, width = _number(found, "image_height"), _number(found, "image_width")
    pixel_y, pixel_x = _number(found, "pixel_height"), _number(found, "pixel_width")
    images, frames = _number(found, "num_images_or_tilt_series"), _number(found, "frames_per_image")
    pixel_y, pixel_x = pixel_y or pixel_x, pixel_x or pixel_y
    return ImageSet(
        name=_text(found, "name"),
        directory=_text(found, "directory").strip("/"),
        category=_text(found, "category"),
        header_format=_text(found, "header_format"),
        data_format=_text(found, "data_format"),
        voxel_type=_text(found, "voxel_type"),
        n_images=None if images is None else int(images),
        frames_per_image=None if frames is None else int(frames),
        image_yx=(int(height), int(width)) if height and width else None,
        pixel_yx_angstrom=(pixel_y, pixel_x) if pixel_y and pixel_x else None,
    )


def _text(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    return (
        printable(str(value)[:_LONGEST_TEXT])
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else ""
    )


def _number(found: dict[str, Any], key: str) -> float | None:
    try:
        value = float(found.get(key) or "")
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and 0 <= value < 1e15 else None
