"""What was packed, as a dict for machines and as a table for people."""
import collections
import os

_LONGEST_TABLE = 20


def summary(packed, broken, classes, written):
    """Tell what was packed.

    Parameters
    ----------
    packed, broken : list of Image
    classes : list of str or None
    written : dict of str to str
        The files by kind.

    Returns
    -------
    dict
    """
    counts = collections.Counter(image.label for image in packed)
    if classes is None:
        rows = [{"label": label, "images": counts[label]} for label in sorted(counts)]
    else:
        rows = [{"label": label, "images": counts[label], "name": name} for label, name in enumerate(classes)]
    return {"records": len(packed), "classes": rows, "bytes": os.path.getsize(written["rec"]), "written": written,
            "left_out": [image.name for image in broken]}


def table(report):
    """The report as lines of text."""
    rows = report["classes"] if len(report["classes"]) <= _LONGEST_TABLE else []
    lines = ["label %-4d %6d images  %s" % (row["label"], row["images"], row.get("name", "")) for row in rows]
    lines.append("%d records of %d classes, %.1f MB" % (report["records"], len(report["classes"]),
                                                        report["bytes"] / 1e6))
    lines += ["left out %s" % name for name in report["left_out"]]
    return lines + ["%-8s %s" % pair for pair in report["written"].items()]
