#!/usr/bin/env bash
# MXNet 1.9.1: with seed_aug ImageRecordIter crops and mirrors every batch of every epoch alike.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: seed_aug, "Random seed for augmentations", makes a run repeatable, as seed does for the order: the random
# numbers begin at the seed and go on from batch to batch and from epoch to epoch.
# Really: each picture's random numbers are begun anew from seed_aug plus its place in what is read at a time, which
# with path_imgidx is a batch. The third picture of every batch is cropped and mirrored like the third picture of the
# first, reset() or not, so a batch size of 8 means 8 crops for the whole training. Pull request 11247 of apache/mxnet
# brought the option; in 12485 a reviewer asked why the seed is set again and again, and was told: for results that can
# be repeated with several threads. No issue on what it means for training found.
#
# Output seen:
#   seed_aug=None: 34 different changes in 40 copies of a picture, batches like the first: 0 of 4
#      next epoch: other changes than in the first
#   seed_aug=5:    8 different changes in 40 copies of a picture, batches like the first: 4 of 4
#      next epoch: the changes of the first
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > changes.py <<'PY'
import struct
import sys
import zlib

import mxnet as mx

COPIES, BATCH = 40, 8

def png(rows):
    """A grey picture, rows of bytes, as PNG."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + \
        chunk(b"IEND", b"")


def epoch(batches):
    """For each batch what was done to its pictures: the pixels that remain, as numbers from 0 to 255, tell it."""
    return [[picture.tobytes() for picture in batch.data[0].asnumpy()] for batch in batches]


picture = png([bytes(range(16 * row, 16 * row + 16)) for row in range(16)])
writer = mx.recordio.MXIndexedRecordIO("copies.idx", "copies.rec", "w")
for number in range(COPIES):
    writer.write_idx(number, mx.recordio.pack(mx.recordio.IRHeader(0, float(number), number, 0), picture))
writer.close()
same = {}
for seed in None, 5:
    batches = mx.io.ImageRecordIter(path_imgrec="copies.rec", path_imgidx="copies.idx", data_shape=(3, 8, 8),
                                    batch_size=BATCH, rand_crop=True, rand_mirror=True, preprocess_threads=1,
                                    seed_aug=seed)
    first = epoch(batches)
    batches.reset()
    again = epoch(batches) == first
    alike = sum(batch == first[0] for batch in first[1:])
    print("%-14s %d different changes in %d copies of a picture, batches like the first: %d of %d" % (
        "seed_aug=%s:" % seed, len(set(sum(first, []))), COPIES, alike, len(first) - 1))
    print("   next epoch: %s" % ("the changes of the first" if again else "other changes than in the first"))
    same[seed] = alike, again
sys.exit(0 if same == {None: (0, False), 5: (COPIES // BATCH - 1, True)} else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore changes.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
