"""Milliseconds of a whole network, measured."""
from accnn.costs.base import Cost, register
from accnn.errors import AccnnError


@register
class Latency(Cost):
    """What the clock says of one pass of the whole network: see :class:`accnn.latency.measured.Measured`."""

    name = "latency"
    unit = "ms"
    summary = "milliseconds of the whole network, measured"
    rule = "latency"
    whole_network, knows_all = True, False

    def of(self, bench, request):
        """Return the Measured of a model."""
        from accnn.latency.measured import Measured  # imports this room

        return Measured(bench, request)

    def chain(self, spec, chain):
        """Refuse: only within a network, with so many threads, a chain takes some time."""
        raise AccnnError("milliseconds are those of a network on a machine: ask the cost's of(bench, request)")
