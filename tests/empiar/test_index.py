"""Index pages: what real servers write is read, and what could do harm is not."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.empiar import Patterns, Server, Size, entry_number, parse_index
from cryolithe_stream.empiar.names import place_below, printable, safe_name
from cryolithe_stream.errors import InputError, OutputError
from tests.empiar.server import apache_page, apache_row, apache_size

URL = "https://ftp.ebi.ac.uk/empiar/world_availability/10499/data/"
PATH = "/empiar/world_availability/10499/data/"
PRE = """<html><head><title>Index of /maven</title></head><body><h1>Index of /maven</h1>
<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a>                    <a href="?C=M;O=A">Last
modified</a>      <a href="?C=S;O=A">Size</a>  <a href="?C=D;O=A">Description</a><hr><img src="/icons/back.gif"
alt="[PARENTDIR]"> <a href="/empiar/world_availability/10499/">Parent Directory</a>                             -
<img src="/icons/folder.gif" alt="[DIR]"> <a href="3.0.5/">3.0.5/</a>                  2022-06-17 11:16    -
<img src="/icons/unknown.gif" alt="[   ]"> <a href="TS_01.mrc">TS_01.mrc</a>           2022-06-17 11:16  1.9G  a note
<hr></pre></body></html>"""
NGINX = """<html><head><title>Index of /x/</title></head><body><h1>Index of /x/</h1><hr><pre><a href="../">../</a>
<a href="frames/">frames/</a>                                            17-Jun-2022 11:16                   -
<a href="TS%2001.mrc">TS 01.mrc</a>                                     17-Jun-2022 11:16           569560224
</pre><hr></body></html>"""

names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=40).filter(
    lambda name: safe_name(quote(name, safe="")) == name
)


def listed(html):
    listing = parse_index(html, URL)
    assert not listing.refused
    return [(e.name, e.is_folder, e.size) for e in listing.entries]


def test_the_lists_of_apache_and_nginx_are_read():
    rows = apache_row("frames/", "  - ") + apache_row("TS_01.mrc", "543M") + apache_row("a & b.txt", "303 ")
    assert listed(apache_page(PATH, rows)) == [
        ("TS_01.mrc", False, Size.parse("543", "M")),
        ("a & b.txt", False, Size(303, 303)),
        ("frames", True, None),
    ]
    assert listed(PRE) == [("3.0.5", True, None), ("TS_01.mrc", False, Size.parse("1.9", "G"))]
    assert listed(NGINX) == [("TS 01.mrc", False, Size(569_560_224, 569_560_224)), ("frames", True, None)]


def test_what_was_listed_for_empiar_10511_fits_its_movies():
    size = Size.parse("543", "M")
    assert size.least <= 569_560_224 <= size.most and size.exact is None
    assert not size.least <= 560_000_000 <= size.most


@given(st.integers(0, 2**62))
def test_a_rounded_size_holds_the_true_one_closely(n):
    text = apache_size(n).strip()
    size = Size.parse(text.rstrip("KMGTPE"), text[-1] if text[-1].isalpha() else "")
    assert size.least <= n <= size.most
    assert size.most - size.least <= max(0.3 * n, 0)


@given(st.dictionaries(names, st.booleans(), max_size=8))
def test_every_file_of_a_list_is_found_once(wanted):
    ends = {name: "/" if is_folder else "" for name, is_folder in wanted.items()}
    rows = "".join(apache_row("x" + end, "1.0K", quote(name, safe="") + end) for name, end in ends.items())
    found = parse_index(apache_page(PATH, rows), URL)
    assert {e.name: e.is_folder for e in found.entries} == wanted
    assert not found.refused


HOSTILE = [
    "../secret", "..%2fsecret", "%2e%2e%2fsecret", "..%5csecret", "%2e%2e/%2e%2e/", "/etc/passwd", "//evil.example/x",
    "https://evil.example/x", "file:///etc/passwd", "a%00b", "a%0ab", "x%1b%5b2J", "%ff%fe", "a/b", "x.partial",
    "x.partial.json", ".cryolithe-empiar.lock", "n" * 300, "javascript:alert(1)", "http://[bad", "x?y=1",
    "%e2%80%aegpj.exe",
    "http://ftp.ebi.ac.uk/empiar/world_availability/10499/data/x", "%2e%2e", "a\\b", "ftp://ftp.ebi.ac.uk/x",
]  # fmt: skip


@pytest.mark.parametrize("link", HOSTILE)
def test_hostile_links_are_left_out(link):
    listing = parse_index(apache_page(PATH, apache_row("x", "1", link) + apache_row("good.mrc", "5 ")), URL)
    assert [e.name for e in listing.entries] == ["good.mrc"]


@given(st.text(max_size=60), st.text(max_size=30))
def test_any_link_stays_below_the_folder(link, page):
    html = f'{page}<a href="{link}">x</a> 2020-09-13 12:26  9.9K'
    for entry in parse_index(html, URL).entries:
        place = place_below(Path("/data/empiar"), entry.name)
        assert place.parent == Path("/data/empiar")
        assert " ".join(entry.name.split()) == printable(entry.name)


@given(st.text(string.printable, max_size=300))
def test_no_page_breaks_the_parser(html):
    parse_index(html, URL)


@pytest.mark.parametrize(
    "piece",
    ["<a x", '<a href="x', "<!--", "<![", "<?", "</a", "<a href=x>" + "<" * 99, "<a " + " href= " * 300, "<a  "],
)
@pytest.mark.timeout(60)
def test_pages_that_are_meant_to_take_long_do_not(piece):
    parse_index(piece * (2_000_000 // len(piece)), URL)


@given(st.text(max_size=40))
def test_safe_names_are_single_plain_parts(text):
    name = safe_name(quote(text, safe=""))
    assert name in (None, text)
    if name is not None:
        assert Path("x", name).name == name and len(name.encode()) <= 240


def test_links_of_the_user_out_of_the_folder_are_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "data").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="leads out of"):
        place_below(tmp_path / "in", "data/x.mrc")


@pytest.mark.parametrize(
    "text",
    [
        "10499", "EMPIAR-10499", "empiar-10499", "EMPIAR 10499", " EMPIAR_10499 ", "10.6019/EMPIAR-10499",
        "https://doi.org/10.6019/EMPIAR-10499", "https://www.ebi.ac.uk/empiar/EMPIAR-10499/",
        "https://www.ebi.ac.uk/pdbe/emdb/empiar/entry/10499/", "https://empiar.org/10499",
    ],
)  # fmt: skip
def test_forms_of_an_entry(text):
    assert entry_number(text) == "10499"


@pytest.mark.parametrize(
    "text", ["", "EMD-1234", "../10499", "10499/../10500", "1049", "１０４９９", "10499 10500", "1e5"]
)
def test_what_is_no_entry(text):
    with pytest.raises(InputError, match="no EMPIAR entry"):
        entry_number(text)


@pytest.mark.parametrize(
    ("globs", "path", "wanted"),
    [
        ([], "data/x/y.mrc", True),
        (["*.mrc"], "data/x/y.mrc", True),
        (["*.mrc"], "data/x/y.tif", False),
        (["data/*"], "data/x/y.mrc", False),
        (["data/*"], "data/y.mrc", True),
        (["data/**"], "data/x/y.mrc", True),
        (["data/"], "data/x/y.mrc", True),
        (["data/**/*.mrc"], "data/y.mrc", True),
        (["data/**/z/*.mrc"], "data/a/b/z/y.mrc", True),
        (["data/**/z/*.mrc"], "data/a/b/y.mrc", False),
        (["data/TS_0[12].st", "*.xf"], "data/TS_03.st", False),
        (["data/TS_0[12].st", "*.xf"], "data/TS_02.st", True),
        (["data/TS_0[12].st", "*.xf"], "other/a.xf", True),
    ],
)
def test_globs(globs, path, wanted):
    patterns = Patterns.parse(globs)
    assert patterns.match(path) is wanted
    if wanted:
        folders = path.split("/")[:-1]
        assert all(patterns.may_match_below("/".join(folders[:i])) for i in range(len(folders) + 1))


parts = st.sampled_from(["a", "b", "ab", "*", "a*", "**"])


@given(st.lists(parts, min_size=1, max_size=5), st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5))
def test_no_folder_with_wanted_files_is_passed_over(glob, names):
    patterns = Patterns.parse(["/".join(glob)])
    if patterns.match("/".join(names)):
        assert all(patterns.may_match_below("/".join(names[:i])) for i in range(len(names)))


def test_folders_that_cannot_match_are_not_looked_into():
    patterns = Patterns.parse(["data/run1/*.st"])
    assert not patterns.may_match_below("data/run2") and not patterns.may_match_below("data/run1/sub")


def test_redirects_stay_with_empiar():
    server = Server()
    file = "https://ftp.ebi.ac.uk/empiar/world_availability/10499/x"
    assert server.allows_redirect(file, "https://ftp.ebi.ac.uk/pub/x")
    assert server.allows_redirect(file, "https://www.ebi.ac.uk/x")
    for bad in ("http://ftp.ebi.ac.uk/x", "https://evil.example/x", "https://ftp.ebi.ac.uk.evil.example/x",
                "https://a@ftp.ebi.ac.uk/x", "file:///etc/passwd"):  # fmt: skip
        assert not server.allows_redirect(file, bad)


@pytest.mark.parametrize(
    "url", ["ftp://ftp.ebi.ac.uk/x", "ftp.ebi.ac.uk", "https://", "https://u:p@h/x", "https://h/?q"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(InputError) as caught:
        Server(files_url=url)
    assert "u:p" not in str(caught.value)
