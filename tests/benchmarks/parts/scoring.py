"""Right answers of networks on the labelled images of a file, and the options for images."""
from accnn.cli.types import positive
from accnn.data.images import read_images
from accnn.data.records import open_records
from accnn.runtime.predictor import Predictor, contexts
from accnn.scoring.heads import class_head
from accnn.scoring.passes import answers
from accnn.scoring.tally import Tally, check_finite


def add_image_options(arguments):
    """Add the files that calibrate and are scored, and how many images calibrate."""
    add = arguments.add_argument
    add("--data-calib", required=True, metavar="REC", help="images that calibrate")
    add("--data-calib-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    add("--data-val", required=True, metavar="REC", help="images that are scored, all of them")
    add("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    add("--calib-images", type=positive, default=2000, metavar="N", help="default: %(default)s")


class Scoring:
    """Counts right answers on all images of a file.

    Parameters
    ----------
    args : Namespace
    bench : Accelerator
    how : Preprocessing
    """

    def __init__(self, args, bench, how):
        self._records, self._how = open_records(args.data_val, args.data_val_idx), how
        self._shapes, self._batch_size, self._contexts = bench.input_shapes, args.batch_size, contexts(args.gpus)
        self._records.check_classes(class_head(bench.model, bench.input_shapes).classes)
        self.images = len(self._records)

    def right(self, model):
        """int: images whose best answer is their label."""
        head = class_head(model, self._shapes)
        predictor = Predictor(model, self._shapes, min(self._batch_size, self.images), self._contexts,
                              head.symbol(model))
        tally = Tally(head)
        for batch, ((scores,),) in answers([predictor], read_images(self._records, self._how, self._batch_size)):
            check_finite(scores, head.name, model, batch.first)
            tally.add(scores, batch.labels.astype(int))
        return tally.right[1]
