"""RecordIO files of drawn pictures, and an independent reader of them: MXNet's unpacking, OpenCV, plain NumPy."""
import struct

import cv2
import numpy as np

from accnn.core.compat import mx

CLASSES = 5


def header(label, number):
    """The bytes before a picture; `label` may be a list. ``mx.recordio.pack`` fails on lists from NumPy 2.3 on."""
    if np.isscalar(label):
        return struct.pack("<IfQQ", 0, label, number, 0)
    return struct.pack("<IfQQ", len(label), 0, number, 0) + np.array(label, "<f4").tobytes()


def drawn(height=14, width=13, channels=3, seed=0, form=".png"):
    """bytes: a picture of noise, so that no two are alike."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)
    return cv2.imencode(form, pixels)[1].tobytes()


def items(count=23, **how):
    """list of (label, bytes) of that many pictures; labels go round the classes."""
    return [(float(number % CLASSES), drawn(seed=number, **how)) for number in range(count)]


def packed(prefix, pictures=None, index=True):
    """Write ``PREFIX.rec``, with its ``.idx`` or without, and return its path as str."""
    rec, idx = str(prefix) + ".rec", str(prefix) + ".idx"
    pictures = items() if pictures is None else pictures
    if index:
        writer = mx.recordio.MXIndexedRecordIO(idx, rec, "w")
    else:
        writer = mx.recordio.MXRecordIO(rec, "w")
    for number, (label, content) in enumerate(pictures):
        record = header(label, number) + content
        writer.write_idx(number, record) if index else writer.write(record)
    writer.close()
    return rec


def offsets(rec):
    """list of int: where the records begin, from the ``.idx``."""
    with open(rec[:-len("rec")] + "idx") as handle:
        return [int(line.split("\t")[1]) for line in handle]


def read(rec, shape, mean=(0,), std=(1,)):
    """Return (images, labels) of a whole indexed file: decoded by OpenCV, cropped in the middle."""
    keys = range(len(offsets(rec)))
    reader = mx.recordio.MXIndexedRecordIO(rec[:-len("rec")] + "idx", rec, "r")
    images, labels = [], []
    for key in keys:
        head, content = mx.recordio.unpack(reader.read_idx(key))
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR if shape[0] == 3 else 0)
        pixels = pixels[:, :, ::-1].transpose(2, 0, 1) if shape[0] == 3 else pixels[np.newaxis]
        top, left = ((has - wanted) // 2 for has, wanted in zip(pixels.shape[1:], shape[1:]))
        pixels = pixels[:, top:top + shape[1], left:left + shape[2]].astype(np.float64)
        images.append((pixels - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1)))
        labels.append(head.label)
    reader.close()
    return np.array(images), labels
