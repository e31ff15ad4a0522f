"""What reconstruction.py prints: the tables, what was skipped, the orderings."""
from dataclasses import asdict, replace

from accnn.core.text import ruled, sizes
from parts.combinations import ORDERINGS, SECTIONS
from parts.study import convolutions


class Findings:
    """All results, and what to say of them.

    Parameters
    ----------
    bench : Accelerator
    images : int
        That were scored.
    original : int
        Those that the original network has right.
    ratios : list of float
    """

    def __init__(self, bench, images, original, ratios):
        self._layers = convolutions(bench)
        self.images, self.original, self.ratios = images, original, ratios
        self.results = {}

    def accuracy(self, right):
        """float: in percent."""
        return 100 * right / self.images

    def lost(self, cell):
        """float: points of accuracy; negative where some were gained."""
        return self.accuracy(self.original) - self.accuracy(cell.right)

    def told(self, result):
        """The line about the last Cell of a Result."""
        if result.trouble:
            return "%s: %s" % (result.combination.name, result.trouble)
        cell = list(result.cells.values())[-1]
        if cell.right is None:
            return "%s, %gx: %s" % (result.combination.name, cell.ratio, cell.trouble)
        return "%s, %gx: %.2f points lost (%.2f%%), reached %.2fx, %.1f s" % (
            result.combination.name, cell.ratio, self.lost(cell), self.accuracy(cell.right), cell.reached, cell.seconds)

    def lines(self, with_ranks):
        """list of str: all tables, what was skipped, the orderings."""
        lines = ["points of top-1 lost without fine-tuning, of %.2f%% (%d images; negative: gained), the theoretical "
                 "ratio reached," % (self.accuracy(self.original), self.images),
                 "and seconds for ranks and reconstruction; once: those for what the ratios of a row and rows below "
                 "it share"] + ["(ranks: - where a layer is left alone)"] * with_ranks
        for title, combinations in SECTIONS:
            found = [self.results[one] for one in combinations if one in self.results]
            if found:
                lines += ["", title, ""] + self._table(found) + (self._rank_table(found) if with_ranks else [])
        return lines + self._troubles() + self._ordering_lines()

    def _table(self, found):
        head = ["method", "ranks", "solver", "fit", "metric"]
        for ratio in self.ratios:
            head += ["%gx" % ratio, "reached", "s"]
        rows = [list(result.combination.cells()) + [text for ratio in self.ratios
                                                    for text in self._texts(result.cells.get(ratio))] +
                ["%.0f" % result.once] for result in found]
        return ruled([head + ["once"]] + rows, "<<<<<" + ">>>" * len(self.ratios) + ">", header=True)

    def _texts(self, cell):
        """What a table says of a Cell: lost, reached, seconds."""
        if cell is not None and cell.right is not None:
            return "%.2f" % self.lost(cell), "%.2fx" % cell.reached, "%.0f" % cell.seconds
        return "-", "best %.2fx" % cell.best if cell is not None and cell.best else "", ""

    def _rank_table(self, found):
        rows = [["method", "ranks", "solver", "fit", "metric", "ratio"] + self._layers + ["lost"]]
        for result in found:
            rows += [list(result.combination.cells()) + ["%gx" % cell.ratio] +
                     [_rank_text(cell.ranks.get(layer)) for layer in self._layers] + ["%.2f" % self.lost(cell)]
                     for cell in result.cells.values() if cell.right is not None]
        return [""] + ruled(rows, "<<<<<" + ">" * (2 + len(self._layers)), header=True)

    def _troubles(self):
        """Every reason why there is no number, once, with the rows that it is about."""
        about = {}
        for result in self.results.values():
            for said in [result.trouble] + [cell.trouble for cell in result.cells.values() if cell.best is None]:
                if said:
                    about.setdefault(said, {})[result.combination.name] = None
        return [""] * bool(about) + ["no number for %s: %s" % (", ".join(names), trouble)
                                     for trouble, names in about.items()]

    def orderings(self):
        """Yield a dict for every two rows of which one should be at least as good."""
        for source, claim, attribute, better, worse in ORDERINGS:
            for one, result in self.results.items():
                other = self.results.get(replace(one, **{attribute: worse}))
                if getattr(one, attribute) == better and other:
                    yield dict({"source": source, "claim": claim, "row": one.name, "than": other.combination.name},
                               **self._compared(result, other))

    def _compared(self, result, other):
        """At which ratios a result is at least as good as another, and what both are at the rest."""
        both = [ratio for ratio in self.ratios
                if all(one.cells.get(ratio) and one.cells[ratio].right is not None for one in (result, other))]
        pairs = {ratio: (result.cells[ratio].right, other.cells[ratio].right) for ratio in both}
        return {"holds": [ratio for ratio, (better, worse) in pairs.items() if better >= worse],
                "fails": [(ratio, self.accuracy(better), self.accuracy(worse))
                          for ratio, (better, worse) in pairs.items() if better < worse]}

    def _ordering_lines(self):
        lines, group = [], None
        for one in self.orderings():
            if (one["source"], one["claim"]) != group:
                group = one["source"], one["claim"]
                lines += ["", "%s: %s" % group]
            lines.append("  %s: %s" % (one["row"], _verdict(one["holds"], one["fails"])))
        return lines

    def document(self):
        """dict: the same for machines."""
        rows = [dict(asdict(one), name=one.name, once=result.once, trouble=result.trouble,
                     sections=[title for title, some in SECTIONS if one in some],
                     cells=[dict(asdict(cell), lost=None if cell.right is None else self.lost(cell))
                            for cell in result.cells.values()])
                for one, result in self.results.items()]
        return {"original": {"right": self.original, "images": self.images}, "ratios": self.ratios, "rows": rows,
                "orderings": list(self.orderings())}


def _verdict(holds, fails):
    """As in 'holds at 2x, 3x; not at 4x (84.10 vs 84.30)'."""
    said = ["holds at " + ", ".join("%gx" % ratio for ratio in holds)] if holds else []
    if fails:
        said.append("not at " + ", ".join("%gx (%.2f vs %.2f)" % (ratio, *pair) for ratio, *pair in fails))
    return "; ".join(said) or "nothing to compare"


def _rank_text(rank):
    return "-" if rank is None else sizes(rank)
