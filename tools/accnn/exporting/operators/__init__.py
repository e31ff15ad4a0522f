"""The converters, by theme; importing this registers them all."""
from accnn.exporting.operators import (  # noqa: F401
    activation,
    arithmetic,
    convolution,
    detection,
    heads,
    indexing,
    linear,
    normalisation,
    pooling,
    recurrent,
    reduction,
    resizing,
    sampling,
    shape,
    slicing,
)
