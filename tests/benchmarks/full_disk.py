"""python tests/benchmarks/full_disk.py --runs 20

Packs photos onto a disk that is too small for them, over and over, and counts how the process ends; as root, with
util-linux. Every end must be exit code 2, and the disk empty: a thread that is still inside OpenCV when Python ends
makes of the end an abort, most times.
"""
import argparse
import collections
import os
import subprocess
import sys
import tempfile

import cv2
import numpy as np

PACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "accnn", "pack.py")


def draw(folder, count=60, height=1200, width=1600):
    """Write photos of smoothed noise: a JPEG of each has about half a megabyte."""
    os.makedirs(folder)
    for number in range(count):
        noise = np.random.RandomState(number).randint(0, 256, (height, width, 3)).astype(np.uint8)
        cv2.imwrite(os.path.join(folder, "%03d.jpg" % number), cv2.GaussianBlur(noise, (5, 5), 1))


def main():
    """Count the ends."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--megabytes", type=int, default=4, help="of the disk (default: %(default)s)")
    args = arguments.parse_args()
    ends, left = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        draw(os.path.join(folder, "photos", "noise"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % args.megabytes, "tmpfs", disk], check=True)
        try:
            for _ in range(args.runs):
                done = subprocess.run([sys.executable, PACK, os.path.join(folder, "photos"), os.path.join(disk, "out"),
                                       "--num-thread", "4"], stderr=subprocess.PIPE, text=True, timeout=120)
                ends[done.returncode, (done.stderr.splitlines() or [""])[-1]] += 1
                left += len(os.listdir(disk))
        finally:
            subprocess.run(["umount", disk], check=True)
    for (code, sentence), count in sorted(ends.items()):
        print("%3d times exit code %d: %s" % (count, code, sentence))
    print("%d files left" % left)


if __name__ == "__main__":
    main()
