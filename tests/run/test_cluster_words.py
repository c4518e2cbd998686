"""What the words of a cluster mean, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError
from cryolithe_stream.run.cluster_words import (
    LISTS,
    QUEUES,
    ClusterWord,
    Scale,
    faults_of,
    parse_adapt,
    parse_listens,
    read_word,
)
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.sizes import ClusterSize, size_of_word

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
KEYS = st.from_regex(r"[a-z][a-z_]{0,12}", fullmatch=True).filter(
    lambda key: key not in {*LISTS, "cores", "gpus", "job_cpu", "ncpus", "processes", "mem", "memory", "nanny"}
)


@st.composite
def queues(draw) -> ClusterWord:
    settings = draw(st.dictionaries(KEYS.filter(lambda key: key != "use_stdin"), TEXT, max_size=4))
    settings |= draw(st.dictionaries(st.sampled_from(["cores", "gpus", "processes"]), st.integers(1, 999), max_size=3))
    settings |= draw(st.dictionaries(st.just("nanny"), st.booleans()))
    settings |= draw(st.dictionaries(st.sampled_from(sorted(LISTS)), st.lists(TEXT, min_size=1, max_size=3).map(tuple)))
    return ClusterWord("queue", draw(st.sampled_from(QUEUES)), settings=tuple(settings.items()))


@given(queues())
def test_settings_read_back_whatever_their_values_hold(word):
    assert read_word(str(word)) == word


@given(st.text(max_size=60))
def test_any_text_is_a_word_that_reads_back_or_a_value_error(text):
    try:
        word = read_word(text)
    except ValueError as error:
        assert str(error)
    else:
        assert read_word(str(word)) == word


def test_words_and_their_kinds():
    kinds = {
        "local:4": "local",
        "threads": "threads",
        "tls://host:8786": "address",
        "file:/shared/scheduler.json": "file",
        "lsf": "queue",
        "cuda": "cuda",
        "my/gateway.yaml": "class",
    }
    assert {text: read_word(text).kind for text in kinds} == kinds


def test_quotes_hold_commas_and_lists_repeat_their_key():
    word = read_word("""slurm: cores=8, "queue=a,b",job_extra_directives='--constraint=a,b',job-extra-directives=-x""")
    assert word.settings == (("cores", 8), ("queue", "a,b"), ("job_extra_directives", ("--constraint=a,b", "-x")))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("slrum:cores=1", "did you mean 'slurm'?"),
        ("slurm:", "a cluster is"),
        ("slurm:cores", "is not key=value"),
        ("slurm:cores=two", "cores is a whole number from 1"),
        ("slurm:gpus=0", "gpus is a whole number"),
        ("slurm:memory=lots", "memory is a size"),
        ("slurm:queue=a,queue=b", "queue is given twice"),
        ("slurm:queue=", "queue has no value"),
        ('slurm:queue="a', "not closed"),
        ("lsf:use_stdin=maybe", "true or false"),
        ("slurm:queue=a\nrm", "control characters"),
        ("cuda:3", "a cluster is"),
        ("file:", "a cluster is"),
        ("http://host/x.yaml", "a cluster is"),
    ],
)
def test_words_that_are_refused(text, part):
    with pytest.raises(ValueError, match=r".") as caught:
        read_word(text)
    assert part in str(caught.value)


@given(st.integers(0, 500), st.integers(1, 500))
def test_adapt_reads_back(low, more):
    assert parse_adapt(f" {low} : {low + more} ") == (low, low + more) == parse_adapt([low, low + more])


@pytest.mark.parametrize("text", ["", "3", "4:3", "0:0", "-1:2", "a:b", "1:2:3", "1:999999"])
def test_adapt_refuses(text):
    with pytest.raises(ValueError, match="fewest and the most"):
        parse_adapt(text)


def test_where_a_dashboard_listens():
    assert [parse_listens(text) for text in (":8787", "0.0.0.0:0", "[::1]:80")] == [":8787", "0.0.0.0:0", "[::1]:80"]
    for text in ("8787", "host", "host:99999", "a b:1"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            parse_listens(text)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"workers": 4}, "which is written local:N"),
        ({"cluster": "tcp://a:1", "adapt": "0:4"}, "were started elsewhere"),
        ({"cluster": "slurm", "workers": 2, "adapt": "0:4"}, "excludes workers"),
        ({"cluster": "file:x.json", "dashboard": ":1"}, "has its own settings"),
        ({"cluster": "slurm", "workers": 0}, "workers: got 0"),
    ],
)
def test_numbers_of_workers_that_make_no_sense(values, part):
    with pytest.raises(InputError) as caught:
        RunOptions.merged({"stack": "a.mrc", "output": "b.mrc", **values})
    assert part in str(caught.value)


def test_numbers_of_workers_change_no_voxel_and_are_saved():
    plain = {"stack": "a.mrc", "output": "b.mrc", "cluster": "slurm"}
    scaled = RunOptions.merged({**plain, "adapt": "0:8", "dashboard": ":8787"})
    assert RunOptions.merged(scaled.to_json()) == scaled
    assert scaled.scale == Scale(adapt=(0, 8))
    assert scaled.describes_voxels() == RunOptions.merged(plain).describes_voxels()


def test_faults_come_together():
    assert len(faults_of(read_word("tcp://a:1"), workers=1, adapt="0:1", dashboard=":1")) == 4


GB = 10**9


@pytest.mark.parametrize(
    ("text", "scale", "size"),
    [
        ("slurm:cores=16,memory=64GB,processes=4", Scale(), ClusterSize(4, 4, 1, 16 * GB)),
        ("slurm:cores=16,memory=64GB,gpus=2", Scale(workers=8), ClusterSize(8, 1, 8, 32 * GB, gpus=True)),
        ("lsf:cores=2,memory=4GB,processes=2", Scale(adapt=(1, 6)), ClusterSize(6, 1, 1, 2 * GB)),
        ("tcp://host:1", Scale(), ClusterSize(1, 1, 1)),
    ],
)
def test_the_size_that_a_word_tells(text, scale, size):
    assert size_of_word(read_word(text), scale=scale) == size


def test_the_size_that_a_file_tells(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("class: distributed.LocalCluster\nn_workers: 3\nthreads_per_worker: 2\nmemory_limit: 2GiB\n")
    assert size_of_word(read_word(str(file)), scale=Scale()) == ClusterSize(3, 2, 1, 2 << 30)


@pytest.mark.parametrize(("word", "gpus", "processes"), [("local", 2, 2), ("local:3", 2, 3), ("cuda", 2, 2)])
def test_a_process_for_each_gpu_of_this_machine(word, gpus, processes):
    size = size_of_word(read_word(word), scale=Scale(), gpus=gpus)
    assert (size.processes, size.slots, size.gpus) == (processes, 1, True)
