"""Pictures of a file of images, small enough to stand inside a page."""
import base64
import io

from accnn.core.libraries import loaded
from accnn.report.evidence import Change, Disagreement

_SIDE = 96  # pixels
_FORMATS = ("JPEG", "PNG")


def disagreement(tally, records):
    """Return what a ChangeTally counted as evidence, with a thumbnail of every image that it kept.

    Parameters
    ----------
    tally : ChangeTally
    records : Records
        Of the images that were counted.

    Returns
    -------
    Disagreement
    """
    changes = tuple(Change(records.number(one.position), one.label, one.before, one.after, one.divergence,
                           thumbnail(records.picture(one.position))) for one in tally.largest)
    return Disagreement(tally.images, {pair: count for pair, count in tally.pairs.items() if pair[0] != pair[1]},
                        {pair[0]: count for pair, count in tally.pairs.items() if pair[0] == pair[1]}, changes)


def thumbnail(content):
    """str or None: ``data:`` address of a picture of at most 96 pixels; None for what is no JPEG or PNG.

    Parameters
    ----------
    content : bytes or None
        As the file has it.
    """
    image = loaded("PIL.Image")
    if content is None:
        return None
    try:
        with image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError):  # all that Pillow raises for bad files
        return None
    small.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
