"""The search for plans of measured speed-ups: choose ranks, time the planned networks, correct the budgets, repeat."""
from dataclasses import replace

from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import say
from accnn.core.text import percent, times
from accnn.latency.noise import refuse_noise
from accnn.latency.report import latency_report
from accnn.planning.attempts import TOLERANCE, Attempt, Attempts
from accnn.planning.plan_search import PlanSearch, attempt_for

__all__ = ["TOLERANCE", "search_together"]

_NOISY = 0.03  # uncertainty of a ratio from which a machine cannot tell whether a plan is right


def search_together(allocators, model, profiler):
    """Choose plans whose measured speed-ups are those asked for, within 3%, or as near above as there is.

    The networks of all are timed together, in turns with one original, and what is learnt of one ratio corrects the
    budgets of all, the first ones of a later run too. On a latency table of another machine nothing is timed, and the
    predicted speed-up counts.

    Parameters
    ----------
    allocators : list of BudgetAllocator
        One for each ratio, with `model` as the cost.
    model : LatencyModel
    profiler : LatencyProfiler

    Returns
    -------
    list of ((Selection, dict) or AccnnError)
        And what a plan says of how it was found: ``latency``, see :func:`accnn.latency.report.latency_report`, and the
        ratio ``reached``. A TargetError where no plan is as fast, which says how fast the fastest is; an AccnnError
        where the machine is too noisy to tell, or a planned network cannot be timed.
    """
    return _Searches(allocators, model, profiler).found()


class _Searches:
    """Searches for several ratios, which run in turns and wait for each other's networks to be timed."""

    def __init__(self, allocators, model, profiler):
        self._profiler, self._allocators = profiler, allocators
        self._attempts = Attempts(model.original_ms / model.whole_ms, profiler.earlier.points(model))
        self._found, self._waiting = {}, {}  # by place: what a search ended with; a generator and what it waits for
        for place, allocator in enumerate(allocators):
            self._resume(place, _steps(allocator, model, profiler, self._attempts))

    def found(self):
        """list: see :func:`search_together`."""
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            self._profiler.time_chains([key for _, what in asked.values() if isinstance(what, list) for key in what],
                                       "timing what was chosen")
            failed = self._time({place: what for place, (_, what) in asked.items() if isinstance(what, Attempt)})
            self._found.update(failed)
            for place in sorted(asked.keys() - failed.keys()):
                self._resume(place, asked[place][0])
        return [self._found[place] for place in range(len(self._found))]

    def _resume(self, place, search):
        """Let a search go on until it wants something timed, or has found a plan, or knows that there is none."""
        try:
            self._waiting[place] = search, next(search)
        except StopIteration as end:
            self._found[place] = end.value
        except TargetError as error:
            self._found[place] = error

    def _time(self, wanted):
        """dict of int to AccnnError: by place, for attempts that cannot be timed; the others are known from now on.

        Several ratios may want the same, above all those out of reach.
        """
        asked = {attempt.network.mark: (attempt, self._allocators[place].request.ratio)
                 for place, attempt in wanted.items()}
        answers = dict(zip(asked, _timed(self._profiler, *zip(*asked.values())) if asked else ()))
        for answer in answers.values():
            if isinstance(answer, Attempt):
                self._attempts.add(answer)
                self._profiler.earlier.keep(*answer.network, answer.timed["measured"])
        self._profiler.save()
        return {place: answers[attempt.network.mark] for place, attempt in wanted.items()
                if isinstance(answers[attempt.network.mark], AccnnError)}


def _timed(profiler, attempts, ratios):
    """list of (Attempt or AccnnError): with what the whole network takes as it is, and with these chains.

    Networks that cannot be timed together are timed one by one, so that one of them does no harm to the others.
    """
    try:
        answer = profiler.time_networks([one.network.keys for one in attempts],
                                        [one.network.in_fp32 for one in attempts],
                                        [(ratio * (1 - TOLERANCE), ratio * (1 + TOLERANCE)) for ratio in ratios])
    except AccnnError as error:
        return [error] if len(attempts) == 1 else [
            _timed(profiler, [one], [ratio])[0] for one, ratio in zip(attempts, ratios)]
    return [_judged(profiler, replace(one, baseline=answer["baseline"], timed=timed))
            for one, timed in zip(attempts, answer["plans"])]


def _judged(profiler, attempt):
    """Attempt, or AccnnError: the machine is too noisy to tell whether it is right."""
    try:
        refuse_noise(attempt.timed["measured"], "the planned network", _NOISY, profiler.config.best_effort)
    except AccnnError as error:
        return error
    say("planned %s, measured %s" % (times(attempt.predicted), times(attempt.ratio)))
    return attempt


def _steps(allocator, model, profiler, attempts):
    """Search for one ratio, as a generator of what is to be timed: an Attempt, or chains as a list of keys."""
    find = _best_timed if profiler.can_measure else _best_predicted
    best, missed = yield from find(allocator, model, profiler, attempts)
    model = model.with_float32(best.selection.in_fp32)
    picks, config = dict(best.selection.picks, **allocator.pinned), profiler.config
    model = yield from _with_picks_timed(model, profiler, picks)
    if config.exported is not None:
        profiler.table.export(config.exported, model.keys + [profiler.network_key, profiler.unsplit_key])
    if missed and not config.best_effort:
        raise TargetError(missed + _advice(allocator.request))
    found = latency_report(model, profiler.table, picks, best.timed, best.baseline, missed, profiler.baseline)
    return best.selection, {"latency": found, "reached": found["predicted"] if best.timed is None else best.ratio}


def _best_predicted(allocator, model, _profiler, _attempts):
    """Return the Attempt for the ratio, which nobody times, and why it misses that, or None."""
    yield from ()  # as a generator that has nothing timed
    best = attempt_for(allocator, model, allocator.request.ratio)
    return best, _unreached(allocator, best.predicted, "predicted", best) if best.cheapest else None


def _best_timed(allocator, model, profiler, attempts):
    """Return the Attempt nearest to the ratio of those that were timed, and why it misses that, or None."""
    asked, plans = allocator.request.ratio, PlanSearch(allocator, model, profiler, attempts)
    yield from plans.aim_at(asked)
    if attempts.best(asked) is None:
        yield from plans.refine_fastest()
    best = attempts.best(asked)
    if best is not None:
        return best, None
    best = attempts.fastest()
    return best, _unreached(allocator, best.ratio, "measured", best) if attempts.is_complete else _not_found(
        asked, attempts)


def _with_picks_timed(model, profiler, picks):
    """LatencyModel: in which the chains of a plan are timed, of which some were interpolated."""
    keys = list(model.plan_keys(picks).values())
    yield keys
    times = {key: profiler.table.ms(key) for key in keys}
    return model.with_alone({key: ms for key, ms in times.items() if ms})


def _unreached(allocator, best, how, attempt):
    where = "with the network as it is" if attempt.timed is None and how == "measured" else \
        "with the cheapest choice everywhere" if attempt.cheapest else "and cheaper choices are slower"
    return ("%gx (latency, over the whole network) cannot be reached: the best %s is %s, %s%s"
            % (allocator.request.ratio, how, times(best), where, _staying(allocator.total)))


def _staying(total):
    """The share of the time that no plan changes, where there is some."""
    share = total.fixed / total.before
    return " (%s of the time is in what stays)" % percent(share, 0) if 0.01 <= share <= 1 else ""


def _not_found(asked, attempts):
    found = ", ".join("%s for %s" % (times(one.ratio), times(one.predicted)) for one in attempts)
    return "no plan for %gx (latency, over the whole network) measured what was predicted: %s" % (asked, found)


def _advice(request):
    return "; ask for less%s, or say `best_effort` to have that" % (
        ", or a smaller `align`" if request.align > 1 else "")
