"""An image's file becomes the bytes of a record, looked at whether it is whole, by OpenCV as im2rec does."""
import os

import numpy as np

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.files import open_input

_TAIL = 4096
# What a whole file has near its end. The decoder fills what is missing with grey and says nothing.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}


def opencv():
    """Return the module that MXNet encodes images with, which is optional there; refuse where it is missing."""
    if mx.recordio.cv2 is None:
        raise AccnnError("images are read and written by OpenCV, which cannot be imported: "
                         "pip install opencv-python-headless")
    return mx.recordio.cv2


def encoder(root, shorter=0, quality=95, pass_through=False):
    """Return the function that makes a record of an Image; it may be called in several threads.

    Parameters
    ----------
    root : str
        Folder that the names start from.
    shorter : int
        Length of the shorter side; 0 leaves it alone.
    quality : int
        Of the JPEG.
    pass_through : bool
        Take the files' bytes as they are.

    Returns
    -------
    callable
        Takes an :class:`accnn.packing.listing.Image`; returns bytes, or None for one that cannot be read.
    """
    cv2 = opencv()
    # For packing as it is, a look at an eighth of the picture tells whether it is one.
    mode = cv2.IMREAD_REDUCED_GRAYSCALE_8 if pass_through else cv2.IMREAD_COLOR

    def encode(image):
        header = mx.recordio.IRHeader(0, float(image.label), image.id, 0)
        try:
            with open_input(os.path.join(root, image.name), "rb") as file:
                content = file.read()
            pixels = None if _cut_off(content) else cv2.imdecode(np.frombuffer(content, np.uint8), mode)
            if pixels is None:
                return None
            if pass_through:
                return mx.recordio.pack(header, content)
            return mx.recordio.pack(header, encoded(_resized(pixels, shorter), ".jpg", quality))
        except (AccnnError, OSError, cv2.error):  # not to be opened; without pixels; too thin for JPEG
            return None
    return encode


def encoded(pixels, form, quality):
    """bytes: a picture as a file of the kind `form`, such as '.jpg'.

    ``mx.recordio.pack_img`` would need ``ndarray.tostring``, which NumPy 2.3 took away.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8
        (H, W), or (H, W, 3) in OpenCV's order: blue, green, red.
    form : {'.jpg', '.png'}
    quality : int
        Of a JPEG, 1 to 100; how hard a PNG is compressed, 0 to 9.
    """
    cv2 = opencv()
    option = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".png": cv2.IMWRITE_PNG_COMPRESSION}[form]
    return cv2.imencode(form, pixels, [option, quality])[1].tobytes()


def _cut_off(content):
    """Whether a JPEG or PNG file lacks its end, or anything is empty."""
    end = _ENDS.get(content[:2], b"")
    return not content or end not in content[-_TAIL:]


def _resized(pixels, shorter):
    """`pixels` with its shorter side `shorter` long, rounded as im2rec does; 0 leaves it alone."""
    if not shorter:
        return pixels
    height, width = pixels.shape[:2]
    size = (shorter, height * shorter // width) if height > width else (width * shorter // height, shorter)
    return mx.recordio.cv2.resize(pixels, size)
