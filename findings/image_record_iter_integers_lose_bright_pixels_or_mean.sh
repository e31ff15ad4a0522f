#!/usr/bin/env bash
# MXNet 1.9.1: ImageRecordIter in int8 makes all pixels above 127 one, in uint8 it drops mean and scale.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: ImageRecordIter is the same for every dtype "except for using int8 as the data type" (so its documentation).
# Pixels do not fit into int8, so it moves them by 128, or refuses; with a mean, in uint8 too, it subtracts it and
# cuts.
# Really: in int8 it cuts at 127, so that with no mean half of all brightnesses are one and the same. It takes scale in
# int8, and scale and the means in uint8, without a word and applies neither; in int8 the means are subtracted. A
# network that is calibrated or run on such batches, to spare the copy in float32, sees other pictures. No public issue
# found.
#
# Output seen:
#   pixels of 0, 100, 200 and 255
#   without mean and scale: float32 [0, 100, 200, 255], int8 [0, 100, 127, 127], uint8 [0, 100, 200, 255]
#   with a mean of 100:     float32 [-100, 0, 100, 155], int8 [-100, 0, 100, 127], uint8 [0, 100, 200, 255]
#   with a scale of 0.5:    float32 [0, 50, 100, 128], int8 [0, 100, 127, 127], uint8 [0, 100, 200, 255]
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > pixels.py <<'PY'
import struct
import sys
import zlib

import mxnet as mx

GREYS = 0, 100, 200, 255

def png(rows):
    """A grey picture, rows of bytes, as PNG."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + \
        chunk(b"IEND", b"")


def pixels(dtype, **settings):
    batches = mx.io.ImageRecordIter(path_imgrec="greys.rec", data_shape=(3, 8, 8), batch_size=len(GREYS), dtype=dtype,
                                    preprocess_threads=1, **settings)
    batch = next(batches).data[0].asnumpy()
    assert batch.dtype == dtype
    return [int(round(float(value))) for value in batch[:, 0, 4, 4]]


writer = mx.recordio.MXRecordIO("greys.rec", "w")
for number, grey in enumerate(GREYS):
    writer.write(mx.recordio.pack(mx.recordio.IRHeader(0, float(number), number, 0), png([bytes([grey]) * 8] * 8)))
writer.close()
CASES = (
    ("without mean and scale", {}, [0, 100, 200, 255], [0, 100, 127, 127]),
    ("with a mean of 100", {"mean_r": 100, "mean_g": 100, "mean_b": 100}, [-100, 0, 100, 155],
     [-100, 0, 100, 127]),
    ("with a scale of 0.5", {"scale": 0.5}, [0, 50, 100, 128], [0, 100, 127, 127]))
print("pixels of %d, %d, %d and %d" % GREYS)
same = True
for text, settings, real, signed in CASES:
    found = [pixels(dtype, **settings) for dtype in ("float32", "int8", "uint8")]
    print("%-23s float32 %s, int8 %s, uint8 %s" % ((text + ":",) + tuple(found)))
    same &= found == [real, signed, list(GREYS)]
sys.exit(0 if same else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore pixels.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
