"""What a checkpoint is worth on labelled images: answers counted, two models compared on the same ones."""
