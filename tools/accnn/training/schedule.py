"""Learning rates over the updates of a run, by MXNet's own schedulers."""
from accnn.compat import mx


def scheduler(kind, rate, updates, step_updates=(), factor=0.1, warmup_updates=0, warmup="linear"):
    """Return an ``mx.lr_scheduler``.

    Parameters
    ----------
    kind : {'constant', 'step', 'cosine', 'poly'}
        'cosine' and 'poly' (to the power of 2) end at zero.
    rate : float
        After the warm-up.
    updates : int
        Of the whole run.
    step_updates : sequence of int
        After these 'step' multiplies the rate by `factor`.
    factor : float
    warmup_updates : int
        Of which `warmup` raises the rate from zero ('linear') or holds it at zero ('constant').
    warmup : {'linear', 'constant'}
    """
    schedulers = mx.lr_scheduler
    common = {"base_lr": rate, "warmup_steps": warmup_updates, "warmup_mode": warmup}
    if kind in ("cosine", "poly"):
        made = schedulers.CosineScheduler if kind == "cosine" else schedulers.PolyScheduler
        return made(max(updates, warmup_updates + 1), **common)
    # MXNet has no constant one with a warm-up: this steps after the end.
    steps = sorted(set(step_updates)) if kind == "step" else [updates + 1]
    return schedulers.MultiFactorScheduler(steps, factor, **common)
