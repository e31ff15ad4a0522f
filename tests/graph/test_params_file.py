"""Headers of parameter files: what does not add up is refused before MXNet sees it."""
import struct

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.params_file import check_whole

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
VALUES = np.arange(6, dtype=np.float32).tobytes()


def written(path, array, count=1):
    """A file of one array, called 'arg:w', with the bytes `array`."""
    path.write_bytes(struct.pack("<QQQ", 0x112, 0, count) + array + struct.pack("<QQ", 1, 5) + b"arg:w")
    return str(path)


def dense(mark=V2, axes=2, shape=(2, 3), storage=0, kind=0, values=VALUES):
    storage = b"" if mark == V1 else struct.pack("<i", storage)
    return (struct.pack("<I", mark) + storage + struct.pack("<i", axes) + struct.pack("<%dq" % len(shape), *shape)
            + struct.pack("<iii", 1, 0, kind) + values)


@pytest.mark.parametrize("mark", [V1, V2])
def test_the_layout_is_mxnets(tmp_path, mark):
    path = written(tmp_path / "w.params", dense(mark))
    check_whole(path)
    assert (mx.nd.load(path)["arg:w"].asnumpy() == np.arange(6).reshape(2, 3)).all()


@pytest.mark.parametrize("array, told", [
    (dense(axes=-1), "an array of -1 axes"), (dense(V1, axes=-3), "an array of -3 axes"),
    (dense(V3, axes=-2), "an array of -2 axes"), (dense(axes=-2 ** 31), "axes"),
    (dense(axes=33), "an array of 33 axes"),
    (dense(shape=(2, -3)), "an array of shape"), (dense(shape=(2, 4)), "1 arrays and 5 names"),
    (dense(shape=(2 ** 40, 2 ** 40)), "ends too early"), (dense(kind=9), "unknown type 9"),
    (dense(storage=-1), "unknown storage -1"), (dense(storage=3), "unknown storage 3"),
    (dense(storage=1), "unknown type 1073741824"), (dense(storage=2), "unknown type 1073741824"),
], ids=lambda value: value if isinstance(value, str) else "array")
def test_headers_that_do_not_add_up(tmp_path, array, told):
    with pytest.raises(AccnnError, match="w.params is no complete parameter file .*(%s)" % told):
        check_whole(written(tmp_path / "w.params", array))


@pytest.mark.parametrize("kind", ["row_sparse", "csr"])
def test_sparse_arrays_are_walked_to_their_end(tmp_path, kind):
    path = str(tmp_path / "w.params")
    arrays = {"arg:a": mx.nd.array(np.eye(5, 4)).tostype(kind), "arg:b": mx.nd.ones((2, 3))}
    mx.nd.waitall()  # or MXNet writes the shape that a sparse array has before it is computed
    mx.nd.save(path, arrays)
    check_whole(path)
    with open(path, "rb") as handle:
        data = handle.read()
    for cut in (40, 60, 90, len(data) - 60, len(data) - 1):
        with open(path, "wb") as handle:
            handle.write(data[:cut])
        with pytest.raises(AccnnError, match="no complete parameter file"):
            check_whole(path)
