"""Planned networks that earlier runs timed: what they count, and what they were measured to be."""

_WELL = 0.02  # uncertainty of a ratio, up to which it is kept


class EarlierPlans:
    """Plans of one network, kept in the latency table between runs.

    They tell where a search is to begin; what it finds is timed in any case, as the machine is now.

    Parameters
    ----------
    table : LatencyTable
    network, original : str
        What the table calls the network with no layer split, and that of which ratios are taken.
    """

    def __init__(self, table, network, original):
        self._table, self._network, self._original = table, network, original

    def keep(self, chains, in_fp32, measured):
        """Keep what a planned network was measured to be, where that is known well.

        Parameters
        ----------
        chains : dict of str to str
            Layer -> key of the chain in its place.
        in_fp32 : iterable of str
            Layers that stay in float32 beside those that have to.
        measured : dict
            With ``median`` and ``uncertainty`` of the speed-up, see :func:`accnn.timing.client.time_networks`.
        """
        if measured["uncertainty"] is not None and measured["uncertainty"] <= _WELL:
            self._table.add_plan(self._network, self._original, chains, in_fp32, measured["median"])

    def points(self, model):
        """list of (float, float): for every plan the speed-up by what its chains count, and that which was measured.

        Parameters
        ----------
        model : LatencyModel
            Without whose times a plan is left out.
        """
        known = [(model.counted_ratio(one["chains"], one["in_fp32"]), one["ratio"])
                 for one in self._table.plans(self._network, self._original)]
        return [point for point in known if point[0]]
