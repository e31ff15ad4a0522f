"""What an epoch brought, as a row of the log, and the table at the end."""
import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import Optional

from accnn.core.text import cell, percent, ruled


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch : int
        0 is before the first update.
    lr : float or None
        Learning rate of its last update.
    train_loss, train_top1 : float or None
        Cross-entropy in nats and share right, with augmentation, each batch before its update; without labels the
        divergence from the teacher and the share of its best answers.
    val_images : int or None
    val_right, val_right_top5 : int or None
    val_loss : float or None
    images_per_second : float or None
        Of training, the teacher included.
    seconds : float
        Validation included.
    """

    epoch: int
    lr: Optional[float] = None
    train_loss: Optional[float] = None
    train_top1: Optional[float] = None
    val_images: Optional[int] = None
    val_right: Optional[int] = None
    val_right_top5: Optional[int] = None
    val_loss: Optional[float] = None
    images_per_second: Optional[float] = None
    seconds: float = 0.0

    def val_top1(self):
        """Share of validation images that are right; None without any."""
        return None if self.val_images is None else self.val_right / self.val_images

    def as_dict(self):
        """dict of the fields."""
        return asdict(self)


def csv_text(entries):
    """The log as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(entry.as_dict() for entry in entries)
    return text.getvalue()


def best(entries):
    """The entry with the most validation images right, of equals the one with the least loss; None without any."""
    scored = [entry for entry in entries if entry.val_right is not None]
    return max(scored, key=lambda entry: (entry.val_right, -entry.val_loss), default=None)


def curve(entries, taught=None):
    """list of [epoch, points lost]: what is missing of the top-1 of the teacher, else of the network before training.

    Parameters
    ----------
    entries : list of EpochRecord
    taught : int, optional
        Validation images that the teacher has right.
    """
    scored = [entry for entry in entries if entry.val_right is not None]
    if taught is None:
        taught = next((entry.val_right for entry in scored if not entry.epoch), None)
    return [] if taught is None else [
        [entry.epoch, 100 * (taught - entry.val_right) / entry.val_images] for entry in scored]


def table(entries, taught=None):
    """The log as lines of text; `lost` are points as in :func:`curve`."""
    rows = [("epoch", "lr", "loss", "top-1", "val loss", "val top-1", "val top-5", "lost", "", "images/s", "seconds")]
    points = dict(curve(entries, taught))
    for entry in entries:
        right = "" if entry.val_right is None else "%d of %d right" % (entry.val_right, entry.val_images)
        top5 = None if entry.val_right_top5 is None else entry.val_right_top5 / entry.val_images
        rows.append((str(entry.epoch), cell("%.3g", entry.lr), cell("%.4f", entry.train_loss),
                     percent(entry.train_top1), cell("%.4f", entry.val_loss), percent(entry.val_top1()),
                     percent(top5), cell("%.2f", points.get(entry.epoch)), right,
                     cell("%.0f", entry.images_per_second), "%.1f" % entry.seconds))
    return ruled(rows, ">>>>>>>><>>")
