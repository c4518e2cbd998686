"""What is kept on disk: projections, tomograms, ledgers and MRC volumes."""

from cryolithe_stream.store.boxes import box_checksum, write_box, write_box_bytes
from cryolithe_stream.store.downsample import downsample_shard, downsample_shard_bytes
from cryolithe_stream.store.export import export_mrc, write_mrc
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.labels import fingerprint_label, mrc_fingerprint, mrc_labels
from cryolithe_stream.store.layout import OmeVersion, TomogramLayout, level_shapes
from cryolithe_stream.store.ledger import Ledger, LedgerRecord, read_ledger
from cryolithe_stream.store.mrc import MrcVolume
from cryolithe_stream.store.mrc_stack import MrcStack
from cryolithe_stream.store.multiscales import finish_tomogram, record_attributes
from cryolithe_stream.store.objects import claim_output, claim_repair, publish_output, release_output, require_owner
from cryolithe_stream.store.ownership import is_ours, remove_output, require_replaceable, stands_at
from cryolithe_stream.store.place import Place, PlaceLike, RemotePath, place_of, public_url
from cryolithe_stream.store.projections import ROWS_PER_CHUNK, ProjectionStore, strips_bytes
from cryolithe_stream.store.tomogram import Tomogram, create_tomogram, metadata_digest, open_tomogram
from cryolithe_stream.store.values import DtypeName, Scaling, Statistics, Written
from cryolithe_stream.store.volume import OmeZarrVolume, open_ome_zarr

__all__ = [
    "ROWS_PER_CHUNK",
    "DtypeName",
    "Ledger",
    "LedgerRecord",
    "MrcStack",
    "MrcVolume",
    "OmeVersion",
    "OmeZarrVolume",
    "Place",
    "PlaceLike",
    "ProjectionStore",
    "RemotePath",
    "Scaling",
    "Statistics",
    "Tomogram",
    "TomogramLayout",
    "Written",
    "box_checksum",
    "claim_output",
    "claim_repair",
    "create_tomogram",
    "downsample_shard",
    "downsample_shard_bytes",
    "export_mrc",
    "fingerprint_label",
    "finish_tomogram",
    "is_ours",
    "level_shapes",
    "metadata_digest",
    "mrc_fingerprint",
    "mrc_labels",
    "open_ome_zarr",
    "open_tomogram",
    "output_faults",
    "place_of",
    "public_url",
    "publish_output",
    "read_ledger",
    "record_attributes",
    "release_output",
    "remove_output",
    "require_owner",
    "require_replaceable",
    "stands_at",
    "strips_bytes",
    "write_box",
    "write_box_bytes",
    "write_mrc",
]
