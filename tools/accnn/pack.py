"""Pack a folder of images as RecordIO, which training, scoring and timing read.

    python pack.py photos photos-train --resize 256 --shuffle         photos/cat/*.jpg, photos/dog/*.jpg ...
    python pack.py ILSVRC2012_img_val imagenet-val --resize 256 --labels val.txt

One subfolder a class: labels 0, 1, 2 ... in the alphabetical order of the subfolders. With --labels, a line for every
image: 'NAME LABEL', or 'LABEL' alone in the order of the sorted names. A label is a number, counted from 0, or the name
of a class (n01440764), which is numbered in alphabetical order or as --classes says.

ILSVRC2012_validation_ground_truth.txt numbers its classes from 1 in an order of its own; pretrained networks count
WordNet ids in alphabetical order. With the ids in the order of the development kit, one a line, translate it first:

    awk 'NR==FNR {id[NR]=$1; next} {print id[$1]}' kit-ids.txt ILSVRC2012_validation_ground_truth.txt > val.txt

Writes PREFIX.rec, .idx, .lst (id, label, name; as im2rec's) and, where classes have names, PREFIX-labels.txt: one name
a line, label 0 first, which is a file for --classes.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.pack", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())
