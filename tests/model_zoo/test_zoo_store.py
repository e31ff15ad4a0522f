"""Fetching from the model store: the real code against a real server on loopback."""
import fcntl
import os
import resource
import shutil
import socket
import threading
import time

import pytest

from accnn.core import locks
from accnn.core.errors import AccnnError
from model_zoo import store


def left(folder):
    """Names of all that is in the cache, which is there only where it holds something."""
    assert not folder.exists() or os.listdir(folder)
    return sorted(os.listdir(folder)) if folder.exists() else []


def refused(text, *arguments, **keywords):
    """Call fetch, which has to raise a one-line error that matches `text`, and return its sentence."""
    with pytest.raises(AccnnError, match=text) as caught:
        store.fetch(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_fetched(path, tiny, cache):
    assert path == str(cache / (tiny.stem + ".params"))
    with open(path, "rb") as handle:
        assert handle.read() == tiny.params
    assert left(cache) == [tiny.stem + ".params"]


def cut_download(server, tiny, sent):
    server.cuts = [sent]
    refused("was cut .%d of %d bytes arrived." % (sent, len(tiny.zip)), tiny.name, server.url, attempts=1)


def test_good_file(server, tiny, cache, capfd):
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert server.requests == [(tiny.url_path, None)]
    assert capfd.readouterr().out == ""


def test_cached_file_skips_the_download(server, tiny, cache):
    store.fetch(tiny.name, server.url)
    assert_fetched(store.fetch(tiny.name, "http://127.0.0.1:1"), tiny, cache)
    assert len(server.requests) == 1


def test_spoiled_cached_file_is_fetched_again(server, tiny, cache, capfd):
    path = store.fetch(tiny.name, server.url)
    with open(path, "r+b") as handle:
        handle.write(b"spoiled")
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert "fetched again" in capfd.readouterr().err


def test_wrong_hash_says_both_sums_and_leaves_nothing(server, tiny, cache):
    other = bytes(len(tiny.params))
    server.files[tiny.url_path] = tiny.packed({tiny.stem + ".params": other})
    sentence = refused("SHA-1 expected %s, got [0-9a-f]{40}" % tiny.sha1, tiny.name, server.url)
    assert "MXNET_GLUON_REPO" in sentence
    assert left(cache) == []
    server.files[tiny.url_path] = tiny.zip
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_missing_file_names_the_address_and_the_mirror(server, tiny, cache):
    server.files.clear()
    sentence = refused("answers 404 Not Found", tiny.name, server.url)
    assert server.url + tiny.url_path in sentence and "--url" in sentence
    assert left(cache) == []


@pytest.mark.parametrize("status", [204, 206, 416, 500, 503])
@pytest.mark.parametrize("arrived", [b"", b"some of it"])
def test_server_that_always_answers_the_same(server, tiny, cache, status, arrived):
    cache.mkdir(parents=True)
    if arrived:
        (cache / (tiny.stem + ".zip.part")).write_bytes(arrived)
    server.status = status
    refused("answers %d" % status, tiny.name, server.url)
    assert len(server.requests) <= 2


# --- cut and resumed ------------------------------------------------------------------------


def test_cut_connection_is_resumed_by_the_next_call(server, tiny, cache):
    cut_download(server, tiny, 1000)
    assert os.path.getsize(cache / (tiny.stem + ".zip.part")) == 1000
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert server.requests[1:] == [(tiny.url_path, "bytes=1000-")]


def test_cut_connections_are_resumed_within_one_call(server, tiny, cache, capfd):
    server.cuts = [1000, 500]
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert [asked for _, asked in server.requests] == [None, "bytes=1000-", "bytes=1500-"]
    assert capfd.readouterr().err.count("resuming") == 2


def test_server_that_cannot_resume_starts_over(server, tiny, cache):
    cut_download(server, tiny, 1000)
    server.resumes = False
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_server_that_starts_over_and_is_cut(server, tiny, cache):
    cut_download(server, tiny, 1000)
    server.resumes, server.cuts = False, [500, 0, 700]
    refused("was cut .700 of %d bytes arrived." % len(tiny.zip), tiny.name, server.url)
    assert os.path.getsize(cache / (tiny.stem + ".zip.part")) == 700


def test_server_that_resumes_elsewhere_starts_over(server, tiny, cache):
    cut_download(server, tiny, 1000)
    server.rewinds = 100
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert [asked for _, asked in server.requests] == [None, "bytes=1000-", None]


def test_complete_part_is_only_unpacked(server, tiny, cache):
    cache.mkdir(parents=True)
    (cache / (tiny.stem + ".zip.part")).write_bytes(tiny.zip)
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_part_longer_than_the_file_starts_over(server, tiny, cache):
    cache.mkdir(parents=True)
    (cache / (tiny.stem + ".zip.part")).write_bytes(tiny.zip + b"more")
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert [asked for _, asked in server.requests] == ["bytes=%d-" % (len(tiny.zip) + 4), None]


def test_rotten_part_is_removed_so_that_the_next_call_succeeds(server, tiny, cache):
    cache.mkdir(parents=True)
    (cache / (tiny.stem + ".zip.part")).write_bytes(bytes(5000))
    refused("removed", tiny.name, server.url)
    assert left(cache) == []
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_what_a_killed_run_left_beside_the_parameters_is_removed(server, tiny, cache):
    store.fetch(tiny.name, server.url)
    (cache / (tiny.stem + ".zip.part")).write_bytes(tiny.zip)
    (cache / (".%s.params.%s-3fffffff-1-abcd1234.tmp" % (tiny.stem, locks.owner().split("-")[0]))).write_bytes(b"")
    assert_fetched(store.fetch(tiny.name, "http://127.0.0.1:1"), tiny, cache)


# --- archives that must not be trusted -------------------------------------------------------


def test_page_instead_of_a_zip(server, tiny, cache):
    server.files[tiny.url_path] = b"<html>please log in to the network</html>"
    refused("no sound zip file", tiny.name, server.url)
    assert left(cache) == []


def test_zip_that_is_damaged_inside(server, tiny, cache):
    middle = len(tiny.zip) // 2
    server.files[tiny.url_path] = tiny.zip[:middle] + bytes(64) + tiny.zip[middle + 64:]
    refused("no sound zip file|SHA-1 expected", tiny.name, server.url)
    assert left(cache) == []


def test_zip_without_the_member(server, tiny, cache):
    server.files[tiny.url_path] = tiny.packed({"other.params": tiny.params})
    refused("without %s.params" % tiny.stem, tiny.name, server.url)
    assert left(cache) == []


def test_other_members_are_not_unpacked(server, tiny, cache):
    server.files[tiny.url_path] = tiny.packed({"../escaped": b"x", tiny.stem + ".params": tiny.params, "extra": b"x"})
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)
    assert not (cache.parent / "escaped").exists()


def test_member_beyond_the_limit(server, tiny, monkeypatch):
    monkeypatch.setattr(store, "LARGEST", 1000)
    refused("more than 1000 bytes", tiny.name, server.url)


# --- where from ------------------------------------------------------------------------------


def test_mirror_by_environment_with_and_without_slash(server, tiny, cache, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", server.url)
    assert_fetched(store.fetch(tiny.name), tiny, cache)
    shutil.rmtree(cache)
    monkeypatch.setenv("MXNET_GLUON_REPO", server.url + "/")
    assert_fetched(store.fetch(tiny.name), tiny, cache)
    assert server.requests == [(tiny.url_path, None)] * 2


def test_url_comes_before_the_environment(server, tiny, cache, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:1/")
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_default_address_is_the_wheels():
    wanted = store.store_file("vgg16")
    assert store.address(wanted) == ("https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models/"
                                     "vgg16-e660d456.zip")


def test_folder_as_a_mirror(tiny, cache, tmp_path):
    folder = tmp_path / "mirror" / "gluon" / "models"
    folder.mkdir(parents=True)
    (folder / (tiny.stem + ".zip")).write_bytes(tiny.zip)
    assert_fetched(store.fetch(tiny.name, "file://%s" % (tmp_path / "mirror")), tiny, cache)
    refused("cannot be reached", "vgg16", "file://%s" % (tmp_path / "mirror"))


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "mirror.example/x", "/mnt/mirror"])
def test_address_of_another_kind(tiny, url):
    refused("is not the address of a mirror", tiny.name, url)


def test_address_with_a_blank(tiny):
    refused("cannot be reached", tiny.name, "http://127.0.0.1:1/a b")


def test_unreachable_server(tiny, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sentence = refused("cannot be reached .Connection refused.", tiny.name, "http://127.0.0.1:%d" % port)
    assert sentence.endswith("set --url or MXNET_GLUON_REPO to a mirror")
    assert not cache.parent.exists()


def test_silent_server_ends_in_a_timeout(tiny):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        started = time.monotonic()
        refused("timed out", tiny.name, "http://127.0.0.1:%d" % silent.getsockname()[1], timeout=0.2)
        assert time.monotonic() - started < 30


def test_stalled_download_ends_in_a_timeout(server, tiny):
    server.pause = threading.Event()
    refused("was cut .timed out.", tiny.name, server.url, timeout=0.3, attempts=1)


def test_proxy_of_the_environment_is_used(server, tiny, cache, monkeypatch):
    behind = "http://store.invalid" + tiny.url_path
    server.files = {behind: tiny.zip}
    monkeypatch.setenv("http_proxy", server.url)
    assert_fetched(store.fetch(tiny.name, "http://store.invalid"), tiny, cache)
    assert server.requests == [(behind, None)]


def test_no_proxy_of_the_environment_is_used(server, tiny, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


# --- where to --------------------------------------------------------------------------------


def test_cache_folder_that_cannot_be_made(server, tiny, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    refused("cannot be written .*MXNET_HOME", tiny.name, server.url)


@pytest.fixture
def small_disk():
    """No file of this process may grow beyond 64 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_fills_up_while_downloading(server, tiny, cache, small_disk):
    refused("zip.part cannot be written .*make room or set MXNET_HOME", tiny.name, server.url)
    small_disk()
    assert_fetched(store.fetch(tiny.name, server.url), tiny, cache)


def test_disk_that_fills_up_while_unpacking_keeps_the_archive(server, tiny, cache, small_disk):
    cache.mkdir(parents=True)
    small_disk()
    (cache / (tiny.stem + ".zip.part")).write_bytes(tiny.zip)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    refused("params cannot be written", tiny.name, server.url)
    assert left(cache) == [tiny.stem + ".zip.part"]


def test_second_process_waits_for_the_first(server, tiny, cache, capfd):
    cache.mkdir(parents=True)
    done = []
    with open(cache / (".%s.zip.part.accnn-lock" % tiny.stem), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: done.append(store.fetch(tiny.name, server.url)))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and not server.requests
        # What the first process would have left:
        (cache / (tiny.stem + ".params")).write_bytes(tiny.params)
    waiting.join(60)
    assert_fetched(done[0], tiny, cache)
    assert not server.requests
    assert "waiting for it" in capfd.readouterr().err
