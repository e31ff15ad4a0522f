"""A network as an ONNX file that lasts as long as somebody reads it."""
import contextlib
import os

from accnn.core.files import full_disk_as_sentence, temporary_folder
from accnn.exporting import file
from accnn.exporting.convert import convert
from accnn.exporting.exporter import OPSET, SECOND
from accnn.graph.precision import in_full_precision, in_single_precision


@contextlib.contextmanager
def onnx_file(model, input_shapes, batch_size):
    """Yield the path of a file among the temporary ones, unproved, and what it holds.

    Parameters
    ----------
    model : Model
        Not changed, nor its arrays.
    input_shapes : dict of str to tuple of int
        Without the batch.
    batch_size : int
        The only one that the file takes.

    Yields
    ------
    (str, Converted)

    Raises
    ------
    AccnnError
        The network cannot be exported, or there is no room for the file.
    """
    converted = convert(in_single_precision(in_full_precision(model)), input_shapes, OPSET, batch_size)
    converted.builder.drop_unread_constants([tensor.name for tensor in converted.outputs])
    with temporary_folder() as folder:
        path = os.path.join(folder, "network.onnx")
        with full_disk_as_sentence(path):
            file.write(converted, OPSET, path, {}, os.path.basename(model.prefix),
                       path + SECOND if file.needs_second_file(converted) else None)
        yield path, converted
