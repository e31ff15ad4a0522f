#!/usr/bin/env bash
# MXNet 1.9.1: ImageRecordIter gives images that its index file does not list.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: with path_imgidx it reads the records that the index lists, so leaving lines out of a .idx leaves images out,
# as it does for MXIndexedRecordIO and mx.image.ImageIter.
# Really: it takes each listed record to reach to the next listed offset and reads all that lies between, so images
# whose lines were left out come all the same. (Left out here are lines between others: the .idx is valid, its offsets
# are right.) No public issue found.
#
# Output seen:
#   MXIndexedRecordIO: images [0, 1, 2, 5, 6, 7]
#   ImageIter:         images [0, 1, 2, 5, 6, 7]
#   ImageRecordIter:   images [0, 1, 2, 3, 4, 5, 6, 7]
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > records.py <<'PY'
import struct
import sys
import zlib

import mxnet as mx


def png(grey, side=8):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([grey]) * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


writer = mx.recordio.MXIndexedRecordIO("all.idx", "all.rec", "w")
for number in range(8):
    header = mx.recordio.IRHeader(0, float(number), number, 0)
    writer.write_idx(number, mx.recordio.pack(header, png(20 * number)))
writer.close()
with open("all.idx") as source, open("some.idx", "w") as target:
    target.writelines(line for line in source if line.split()[0] not in ("3", "4"))


def labels(batches):
    return sorted(int(label) for batch in batches for label in batch.label[0].asnumpy())


records = {"path_imgrec": "all.rec", "path_imgidx": "some.idx", "data_shape": (3, 8, 8)}
reader = mx.recordio.MXIndexedRecordIO("some.idx", "all.rec", "r")
found = {
    "MXIndexedRecordIO": [int(mx.recordio.unpack(reader.read_idx(key))[0].label) for key in reader.keys],
    "ImageIter": labels(mx.image.ImageIter(2, **records)),
    "ImageRecordIter": labels(mx.io.ImageRecordIter(batch_size=2, preprocess_threads=1, **records)),
}
for name in found:
    print("%-18s images %s" % (name + ":", found[name]))
listed = [0, 1, 2, 5, 6, 7]
wanted = {"MXIndexedRecordIO": listed, "ImageIter": listed, "ImageRecordIter": list(range(8))}
sys.exit(0 if found == wanted else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore records.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
