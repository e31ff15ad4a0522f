"""An HTTP server on 127.0.0.1 that can misbehave the way real ones do."""
import http.server
import threading


class LoopbackStore:
    """Serve `files` (path -> bytes); a context manager.

    Attributes
    ----------
    requests : list of (path, Range header or None)
        What was asked for, in order.
    cuts : list of int
        How many bytes of the body each of the next answers sends before the connection ends.
    resumes : bool
        Whether Range is understood.
    rewinds : int
        How many bytes before the asked place a resumed answer begins.
    status : int or None
        When given, every answer is this one, without a body.
    pause : threading.Event or None
        When given, an answer sends half of its body and waits for it.
    sent : threading.Event
        Set when an answer has sent all it wanted or reached its pause.
    """

    def __init__(self, files):
        self.files = files
        self.requests, self.cuts = [], []
        self.resumes, self.rewinds, self.status, self.pause = True, 0, None, None
        self.sent = threading.Event()
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self._server.server_port

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error):
        if self.pause:
            self.pause.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    store = None

    def log_message(self, *_arguments):
        """Keep quiet."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.store.requests.append((self.path, asked))
        if self.store.status:
            self._head(self.store.status, 0, None)
            return
        # A proxy is asked for the whole address.
        body = self.store.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(asked[len("bytes="):-1]) - self.store.rewinds if asked and self.store.resumes else 0
        if start >= len(body):
            self._head(416, 0, "bytes */%d" % len(body))
            return
        span = "bytes %d-%d/%d" % (start, len(body) - 1, len(body))
        self._head(206 if start else 200, len(body) - start, span if start else None)
        self._send(body[start:])

    def _head(self, status, length, content_range):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _send(self, body):
        if self.store.cuts:
            body = body[:self.store.cuts.pop(0)]
        if self.store.pause:
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.store.sent.set()
            self.store.pause.wait(30)
            return
        self.wfile.write(body)
        self.store.sent.set()
