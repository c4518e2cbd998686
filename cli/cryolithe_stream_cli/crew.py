"""`--cluster` for commands that reconstruct nothing: the words are judged, then workers stand ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cryolithe_stream_cli.flags import CLUSTER_FLAGS

if TYPE_CHECKING:
    from cryolithe_stream.run import Crew
    from cryolithe_stream.run.options import RunOptions


def cluster_options(given: Mapping[str, Any]) -> RunOptions:
    """The cluster that options of `run` name, with the fields of no series. Raises InputError."""
    from cryolithe_stream.run.options import RunOptions

    return RunOptions.merged({"stack": "none.mrc", "output": "none.mrc.zarr", **given})


def crew_for(tell: Callable[[str], None], *layers: dict[str, Any]) -> Crew | None:
    """The workers that `--cluster` and its companions ask for, None when nothing does; later layers of options win.

    What is about the cluster is taken out of the layers. Raises InputError for words that are no cluster.
    """
    asked: dict[str, Any] = {}
    for layer in layers:
        found = {flag.name: layer.pop(flag.name, None) for flag in CLUSTER_FLAGS}
        asked |= {name: value for name, value in found.items() if value is not None}
    if not asked:
        return None
    options = cluster_options(asked)
    from cryolithe_stream.run import Crew

    return Crew(options.cluster, options.scale, options.dashboard, tell)
