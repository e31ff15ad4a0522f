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

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import locked, recover, regular_file, written_whole
from accnn.core.progress import say
from model_zoo.download import CHUNK, StoreError, download, refusal, unwritable

TIMEOUT = 30  # seconds without an answer or a byte
ATTEMPTS = 3  # connections that a run may lose before it gives up
LARGEST = 4 << 30  # bytes unpacked; the largest file of the store has 0.6 GB
SCHEMES = ("http://", "https://", "file://")


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
        raise refusal("%r is not the address of a mirror, which begins with %s", base, " or ".join(SCHEMES))
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
            download(source, part, timeout, attempts)
            _unpack(part, wanted, path, source)
    return path


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
        raise unwritable(folder, error) from error
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


@contextlib.contextmanager
def _only_one_at_a_time(part):
    """Hold a lock beside `part`, since two processes that append to one file would spoil it."""
    name = os.path.basename(part)
    with locked(part, lambda: say("another process is fetching %s: waiting for it" % name)):
        recover(part)
        yield


# --- the archive ----------------------------------------------------------------------------


def _unpack(part, wanted, path, source):
    """Move the one expected member of the archive `part` to `path` if its SHA-1 is right.

    A bad archive is removed, since a later run would only resume it; on a full disk it is kept.
    """
    try:
        with written_whole(path) as temporary:
            _extract(part, wanted.stem + ".params", temporary, source)
            if not mx.gluon.utils.check_sha1(temporary, wanted.sha1):
                raise refusal("%s sent other parameters than %s's (SHA-1 expected %s, got %s), which were removed",
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
                raise refusal("%s sent more than %d bytes, which were removed", source, LARGEST)
            with opened.open(member) as packed, open(target, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, CHUNK)
    except KeyError as error:
        raise refusal("%s sent a zip file without %s, which was removed", source, member) from error
    # zipfile reports encryption and unknown compressions as RuntimeError.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise refusal("%s sent no sound zip file (%s), it was removed", source, error) from error


def _sha1(path):
    digest = hashlib.sha1()
    with open(path, "rb") as handle:
        for chunk in iter(lambda: handle.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
