"""Fetch pretrained parameters from the Gluon model store, or from a mirror of it.

The table of SHA-1 sums, the address format and ``check_sha1`` are those of the mxnet wheel.
Its own ``get_model_file`` is not used: it knows neither timeouts nor resuming, prints its
progress on stdout, unpacks whatever the archive holds and ends in tracebacks.
"""
import collections
import contextlib
import hashlib
import os
import shutil
import zipfile
import zlib
from http import HTTPStatus
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import locked, recover, regular_file, written_whole
from accnn.core.progress import Progress, say

TIMEOUT = 30  # seconds without an answer or a byte
ATTEMPTS = 3  # connections that a run may lose before it gives up
CHUNK = 1 << 18  # bytes
LARGEST = 4 << 30  # bytes unpacked; the largest file of the store has 0.6 GB
SCHEMES = ("http://", "https://", "file://")
REMEDY = "set --url or MXNET_GLUON_REPO to a mirror"


class StoreError(AccnnError):
    """The store did not give the file; the sentence ends with :data:`REMEDY`."""


class _Cut(Exception):
    """The connection ended before the file did; what arrived is kept."""


StoreFile = collections.namedtuple("StoreFile", "name sha1 stem")
StoreFile.__doc__ = "A file of the store: its network, the SHA-1 of its parameters, its name without suffix."


def _wheel():
    """The module of the wheel whose private names alone hold the whole sums and the address; read when it is needed."""
    return mx.gluon.model_zoo.model_store


def names():
    """Return the names of all networks of the store, sorted."""
    return sorted(_wheel()._model_sha1)


def store_file(name):
    """Return the :class:`StoreFile` of the network `name`; it has to be one of :func:`names`."""
    sha1 = _wheel()._model_sha1[name]
    return StoreFile(name, sha1, "%s-%s" % (name, sha1[:8]))


def cache_folder():
    """Return the folder of downloaded parameters: $MXNET_HOME/models, by default ~/.mxnet/models."""
    return os.path.join(os.path.expanduser(mx.base.data_dir()), "models")


def address(wanted, url=None):
    """Return where to fetch the :class:`StoreFile` `wanted` from.

    Parameters
    ----------
    wanted : StoreFile
    url : str, optional
        Base of a mirror; by default $MXNET_GLUON_REPO, else the address built into the wheel.
    """
    base = url or os.environ.get("MXNET_GLUON_REPO") or _wheel().apache_repo_url
    if not base.startswith(SCHEMES):
        raise _refusal("%r is not the address of a mirror, which begins with %s", base, " or ".join(SCHEMES))
    return _wheel()._url_format.format(repo_url=base.rstrip("/") + "/", file_name=wanted.stem)


def fetch(name, url=None, timeout=TIMEOUT, attempts=ATTEMPTS):
    """Return the path of the pretrained parameters of `name`, downloaded unless already there.

    A download that was cut or interrupted leaves ``<file>.zip.part`` in the cache folder and is
    resumed by the next call. The parameters only get their final name when their SHA-1 is right.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    url : str, optional
        Base of a mirror, see :func:`address`.
    timeout : float, default=30
        Seconds to wait for an answer or the next bytes.
    attempts : int, default=3
        How many connections may be lost.

    Returns
    -------
    str

    Raises
    ------
    AccnnError
        One sentence that names the address or file and the remedy.
    """
    wanted = store_file(name)
    path = os.path.join(cache_folder(), wanted.stem + ".params")
    if os.path.exists(path):
        if _read_sha1_matches(path, wanted.sha1):
            _tidy(path, wanted)
            return path
        say("%s does not have the SHA-1 of %s: it is fetched again" % (path, name))
    source = address(wanted, url)
    part = _part(path, wanted)
    with _folder(os.path.dirname(path)), _only_one_at_a_time(part):
        if not _already_good(path, wanted.sha1):
            _download(source, part, timeout, attempts)
            _unpack(part, wanted, path, source)
    return path


def _refusal(sentence, *values):
    return StoreError("%s: %s" % (sentence % values, REMEDY))


def _read_sha1_matches(path, sha1):
    try:
        return mx.gluon.utils.check_sha1(regular_file(path), sha1)
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (path, error.strerror)) from error


def _already_good(path, sha1):
    """Say whether another process completed `path` while this one waited for the lock."""
    return os.path.exists(path) and _read_sha1_matches(path, sha1)


def _part(path, wanted):
    """Where a download is kept until it is whole."""
    return os.path.join(os.path.dirname(path), wanted.stem + ".zip.part")


def _tidy(path, wanted):
    """Remove what a run left that was killed once it had the parameters; a cache that is read-only stays as it is."""
    part = _part(path, wanted)
    with contextlib.suppress(OSError, AccnnError):
        recover(path)
        if os.path.exists(part):
            with locked(part):
                os.unlink(part)


@contextlib.contextmanager
def _folder(folder):
    """Make a folder where it is missing; when the block ends, remove it, and those above made with it, where empty."""
    made = _missing(folder) or [folder]
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for one in made:
                os.rmdir(one)


def _missing(folder):
    """list of str: a folder that is not there, the ones above it that are not, too."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _unwritable(path, error):
    return AccnnError("%s cannot be written (%s): make room or set MXNET_HOME to another folder"
                      % (path, error.strerror))


@contextlib.contextmanager
def _only_one_at_a_time(part):
    """Hold a lock beside `part`, since two processes that append to one file would spoil it."""
    name = os.path.basename(part)
    with locked(part, lambda: say("another process is fetching %s: waiting for it" % name)):
        recover(part)
        yield


# --- the connection -------------------------------------------------------------------------


def _download(source, part, timeout, attempts):
    """Bring all of `source` into the file `part`, from where an earlier download stopped."""
    for left in reversed(range(attempts)):
        try:
            with _opened_for_appending(part) as handle:
                _receive(source, handle, timeout)
            return
        except _Cut as cut:
            if not left:
                raise StoreError("the connection to %s was cut (%s): run the command again to resume it, or %s"
                                 % (source, cut, REMEDY)) from cut
            say("the connection was cut (%s): resuming" % cut)


@contextlib.contextmanager
def _opened_for_appending(part):
    try:
        handle = open(part, "ab")
    except OSError as error:
        raise _unwritable(part, error) from error
    with handle:
        try:
            yield handle
        except BaseException as error:
            _tell_what_is_left(part, isinstance(error, KeyboardInterrupt))
            raise


def _tell_what_is_left(part, interrupted):
    """Remove `part` if nothing arrived; otherwise say where an interrupted download can go on."""
    arrived = os.path.getsize(part)
    if not arrived:
        os.unlink(part)
    elif interrupted:
        say("%s keeps the %d bytes that arrived: the next run resumes there" % (part, arrived))


def _receive(source, handle, timeout):
    """Append what `handle` still lacks; start over when the server does not resume."""
    have = handle.seek(0, os.SEEK_END)
    response = _connect(source, have, timeout)
    with contextlib.closing(response.raw):
        status, (start, total) = response.status_code, _span(response)
        if have and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and total == have:
            return  # an earlier run had it all, but was interrupted before it could unpack it
        if start in (0, have):
            handle.seek(handle.truncate(start))
            _copy(response, handle, total, source)
            return
    if not have or status not in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        raise _refusal("%s answers %d %s", source, status, response.reason)
    handle.truncate(0)
    _receive(source, handle, timeout)


def _connect(source, start, timeout):
    """Return the :class:`requests.Response` to a request for the bytes of `source` from `start` on, its body unread."""
    headers = {"User-Agent": "accnn", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = "bytes=%d-" % start
    try:
        if source.startswith("file://"):  # here and not as an adapter: no server may redirect to a file
            return _opened(url2pathname(urlsplit(source).path))
        response = requests.get(source, headers=headers, stream=True, timeout=timeout)
    except (OSError, ValueError) as error:  # all of requests' are OSErrors
        raise _refusal("%s cannot be reached (%s)", source, _reason(error)) from error
    # What arrived of a body that ends early is to be kept, where urllib3 2 would raise without it.
    response.raw.enforce_content_length = False
    return response


def _opened(path):
    """A file of a mirror in a folder, as an answer."""
    response = requests.Response()
    response.status_code, response.raw = HTTPStatus.OK, open(path, "rb")
    response.headers["Content-Length"] = str(os.path.getsize(path))
    return response


def _reason(error):
    """Return the words of what the socket or the file said, without its number; requests and urllib3 wrap it."""
    told = error
    while isinstance(told, requests.RequestException) or told and not isinstance(told, OSError):
        told = told.__cause__ or told.__context__
    return getattr(told, "strerror", None) or str(told or error) or type(error).__name__


def _copy(response, handle, total, source):
    """Append the body of `response` to `handle`, which then should hold `total` bytes (None: untold)."""
    progress = Progress("fetching %s, MB" % os.path.basename(source), (total or 0) >> 20, first=handle.tell() >> 20)
    try:
        for chunk in response.iter_content(CHUNK):
            _append(handle, chunk)
            progress(handle.tell() >> 20)
    except OSError as error:
        raise _Cut(_reason(error)) from error
    finally:
        progress.close()
    if handle.tell() < (total or 0):
        raise _Cut("%d of %d bytes arrived" % (handle.tell(), total))


def _append(handle, chunk):
    try:
        handle.write(chunk)
        handle.flush()
    except OSError as error:
        raise _unwritable(handle.name, error) from error


def _span(response):
    """Return where the body of an answer begins and how long the whole file is, in bytes, None where untold."""
    length, span = (response.headers.get(name, "") for name in ("Content-Length", "Content-Range"))
    if response.status_code == HTTPStatus.OK:
        return 0, int(length) if length.isdigit() else None
    start, total = span.rpartition(" ")[2].partition("-")[0], span.rpartition("/")[2]  # of 'bytes 7-99/100'
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None


# --- the archive ----------------------------------------------------------------------------


def _unpack(part, wanted, path, source):
    """Move the one expected member of the archive `part` to `path` if its SHA-1 is right.

    A bad archive is removed, since a later run would only resume it; on a full disk it is kept.
    """
    try:
        with written_whole(path) as temporary:
            _extract(part, wanted.stem + ".params", temporary, source)
            if not mx.gluon.utils.check_sha1(temporary, wanted.sha1):
                raise _refusal("%s sent other parameters than %s's (SHA-1 expected %s, got %s), which were removed",
                               source, wanted.name, wanted.sha1, _sha1(temporary))
    except StoreError:
        os.unlink(part)
        raise
    os.unlink(part)


def _extract(archive, member, target, source):
    """Copy `member` of the zip file `archive` to the file `target`; the archive's own paths are never used."""
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(member).file_size > LARGEST:
                raise _refusal("%s sent more than %d bytes, which were removed", source, LARGEST)
            with opened.open(member) as packed, open(target, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, CHUNK)
    except KeyError as error:
        raise _refusal("%s sent a zip file without %s, which was removed", source, member) from error
    # zipfile reports encryption and unknown compressions as RuntimeError.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _refusal("%s sent no sound zip file (%s), it was removed", source, error) from error


def _sha1(path):
    digest = hashlib.sha1()
    with open(path, "rb") as handle:
        for chunk in iter(lambda: handle.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
