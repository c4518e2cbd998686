"""Entries of EMPIAR, the public archive of raw images: what they hold, and their files."""

from cryolithe_stream.empiar.accession import entry_number
from cryolithe_stream.empiar.client import Client
from cryolithe_stream.empiar.entry import Entry, ImageSet, read_entry
from cryolithe_stream.empiar.fetch import Outcome, fetch
from cryolithe_stream.empiar.groups import FetchedGroup, Group, GroupStream, group_by_folder
from cryolithe_stream.empiar.index import Listing, Size, parse_index
from cryolithe_stream.empiar.kept import KeptListings
from cryolithe_stream.empiar.patterns import Patterns
from cryolithe_stream.empiar.progress import NoProgress, Progress
from cryolithe_stream.empiar.server import MOST_CONNECTIONS, Server
from cryolithe_stream.empiar.tree import Bounds, RemoteFile, RemoteFolder, Tree

__all__ = [
    "MOST_CONNECTIONS",
    "Bounds",
    "Client",
    "Entry",
    "FetchedGroup",
    "Group",
    "GroupStream",
    "ImageSet",
    "KeptListings",
    "Listing",
    "NoProgress",
    "Outcome",
    "Patterns",
    "Progress",
    "RemoteFile",
    "RemoteFolder",
    "Server",
    "Size",
    "Tree",
    "entry_number",
    "fetch",
    "group_by_folder",
    "parse_index",
    "read_entry",
]
