"""A real browser for tests: chromium without a window, asked through a pipe in its own protocol."""
import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 30.0  # seconds for one answer
_BLOCK = 1 << 16


def browser_path():
    """str or None: the program, which Debian's ``apt-get install chromium`` brings."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextlib.contextmanager
def opened(path, folder, width=1100, height=900, scheme="light"):
    """Yield a Page that shows a file.

    Parameters
    ----------
    path : str
        Of an HTML file.
    folder : str
        For what the browser keeps.
    width, height : int
        Of the window, in pixels.
    scheme : {'light', 'dark'}
        What the person prefers.
    """
    asks, answers = os.pipe(), os.pipe()
    program = [browser_path(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--no-first-run", "--hide-scrollbars", "--user-data-dir=" + str(folder), "--remote-debugging-pipe"]
    # The browser reads the file descriptor 3 and writes 4.
    shell = ["bash", "-c", 'exec "$@" 3<&%d 4>&%d' % (asks[0], answers[1]), "bash"]
    child = subprocess.Popen(shell + program, pass_fds=(asks[0], answers[1]), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    os.close(asks[0])
    os.close(answers[1])
    try:
        page = Page(asks[1], answers[0])
        page.show("file://" + os.path.abspath(path), width, height, scheme)
        yield page
    finally:
        os.close(asks[1])  # it ends when nobody asks any more
        os.close(answers[0])
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Page:
    """One tab.

    Attributes
    ----------
    complaints : list of str
        Errors and warnings of its console, and what scripts threw.
    asked_for : list of str
        Addresses that it loaded.
    """

    def __init__(self, asks, answers):
        self._asks, self._answers, self._rest, self._number, self._session = asks, answers, b"", 0, None
        self.complaints, self.asked_for, self._loaded = [], [], False

    def show(self, address, width, height, scheme):
        """Open an address and wait until it is loaded."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(domain + ".enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded = False
        self.send("Page.navigate", url=address)
        while not self._loaded:
            self._heard(time.monotonic() + _PATIENCE)

    def send(self, method, **arguments):
        """dict: what the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._asks, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._heard(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def value(self, script):
        """What an expression of JavaScript is."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path):
        """Write a picture of the whole page as PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = dict(size, scale=1)
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as handle:
            handle.write(base64.b64decode(shot["data"]))

    def _heard(self, deadline):
        while b"\0" not in self._rest:
            ready = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            more = os.read(self._answers, _BLOCK)
            assert more, "the browser ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        self._noted(message.get("method"), message.get("params", {}))
        return message

    def _noted(self, event, said):
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked_for.append(said["request"]["url"])
