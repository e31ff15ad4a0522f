"""A file brought over HTTP, or from a folder: resumed where a connection was cut, with timeouts, told on stderr."""
import contextlib
import os
from http import HTTPStatus
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from accnn.core.errors import AccnnError
from accnn.core.progress import Progress, say

CHUNK = 1 << 18  # bytes
REMEDY = "set --url or MXNET_GLUON_REPO to a mirror"


class StoreError(AccnnError):
    """The store did not give the file; the sentence ends with :data:`REMEDY`."""


class _Cut(Exception):
    """The connection ended before the file did; what arrived is kept."""


def refusal(sentence, *values):
    """StoreError: `sentence` with its values, and the remedy."""
    return StoreError("%s: %s" % (sentence % values, REMEDY))


def unwritable(path, error):
    """AccnnError: that a file or folder of the cache cannot be written, as the system says in `error`."""
    return AccnnError("%s cannot be written (%s): make room or set MXNET_HOME to another folder"
                      % (path, error.strerror))


def download(source, part, timeout, attempts):
    """Bring all of `source` into the file `part`, from where an earlier download stopped.

    Parameters
    ----------
    source : str
        An address that begins with http://, https:// or file://.
    part : str
        What arrived stays there when the connection is cut or the run interrupted.
    timeout : float
        Seconds to wait for an answer or the next bytes.
    attempts : int
        How many connections may be lost.

    Raises
    ------
    StoreError
        The connection was cut that often, or the server does not give the file.
    AccnnError
        The file cannot be written.
    """
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
        raise unwritable(part, error) from error
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
        raise refusal("%s answers %d %s", source, status, response.reason)
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
        raise refusal("%s cannot be reached (%s)", source, _reason(error)) from error
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
        raise unwritable(handle.name, error) from error


def _span(response):
    """Return where the body of an answer begins and how long the whole file is, in bytes, None where untold."""
    length, span = (response.headers.get(name, "") for name in ("Content-Length", "Content-Range"))
    if response.status_code == HTTPStatus.OK:
        return 0, int(length) if length.isdigit() else None
    start, total = span.rpartition(" ")[2].partition("-")[0], span.rpartition("/")[2]  # of 'bytes 7-99/100'
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None
