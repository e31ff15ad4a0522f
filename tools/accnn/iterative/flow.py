"""The flow of Fig. 6 of the paper, stage by stage, from wherever an earlier run stopped.

References
----------
Accelerating convolutional neural networks using iterative two-pass decomposition. Submission to ICLR 2018. Sections
2.1 and 2.1.3.
"""
import contextlib
import os
import time

import numpy as np

from accnn import methods
from accnn.core.progress import Progress, say
from accnn.core.threads import one_blas_thread
from accnn.graph.checkpoint import load_model
from accnn.graph.fingerprint import fingerprint
from accnn.graph.rewrite import new_names, replace_layers
from accnn.iterative.restoring import fitness, with_restored
from accnn.iterative.stages import RESTORE
from accnn.iterative.state import stage_prefix
from accnn.planning.accelerator import Accelerator
from accnn.training import resume
from accnn.training.objective import trainable_head


class StageKeeper:
    """What a stage keeps of its training: the file that it resumes from, no epochs.

    Attributes
    ----------
    prefix : str
    settings : dict
    stale : tuple
        Of files that it replaces: none.
    """

    stale = ()

    def __init__(self, prefix, settings):
        self.prefix, self.settings = prefix, settings

    def keep_epoch(self, entries, model, last):
        """Keep nothing."""

    def keep_best(self, entries, model):
        """Keep nothing."""

    def forget(self):
        """Remove the file of a stage that has learnt nothing."""
        with contextlib.suppress(OSError):
            os.unlink(resume.resume_path(self.prefix))

    def keep_last_good(self):
        """str: a few words on what there is."""
        return "the stages before this one are kept, but cannot go on with another rate"


class Flow:
    """A run of the flow.

    Parameters
    ----------
    state : State
        Written already.
    stages : list of Stage
    model : Model
        The one that was given.
    session : Session
    calibrated : callable
        ``calibrated(accelerator)`` is a context in which calibration images speak for it, where there are any.
    effort : Effort
    held : list of str
        Parameters of `model` that are never trained.
    unfreeze : bool
        Train chains too.
    output : str or None
        Which one is trained, see :func:`accnn.scoring.heads.class_head`.
    seed : int
    """

    def __init__(self, state, stages, model, session, calibrated=None, effort=None, held=(), unfreeze=False,
                 output=None, seed=0):
        self.state, self.stages, self._given, self._session = state, stages, model, session
        self._calibrated, self._effort = calibrated or contextlib.nullcontext, effort
        self._held, self._unfreeze, self._output, self._seed = set(held), unfreeze, output, seed

    def go(self):
        """Make all stages that are not done, and keep the result of each."""
        done = len(self.state.done)
        if done == len(self.stages):
            return
        model = load_model(*self.state.checkpoint()) if done else self._given
        for number, stage in enumerate(self.stages[done:], done + 1):
            started = time.monotonic()
            self._tell(stage)
            perform = self._train if stage.trains else self._restore if stage.kind == RESTORE else self._decompose
            model, found = perform(model, stage, number)
            record = {"stage": stage.kind, "group": stage.group, "epochs": stage.epochs, "fitness": {},
                      "parameters": {}, "entries": []}
            record.update(found, seconds=time.monotonic() - started)
            self.state.finish(model, record, last=number == len(self.stages))

    def _tell(self, stage):
        names = ", ".join(row.layer for row in self.state.plan(stage.group).rows)
        say("group %d of %d, %s%s: %s" % (stage.group, self.stages[-1].group, stage.kind,
                                          " (epochs: %d)" % stage.epochs if stage.trains else "", names))

    def _accelerator(self, model):
        # A new one for every stage: what it finds must not depend on which stages this process has made.
        return Accelerator(model, self._session.shapes, Progress, self._effort)

    def _replaced(self, model, stage):
        """(Accelerator, Plan, list of Replacement) of the group, rebuilt where there are calibration images."""
        accelerator, plan = self._accelerator(model), self.state.plan(stage.group)
        with self._calibrated(accelerator):
            return accelerator, plan, accelerator.replacements(plan)

    def _restore(self, model, stage, number):
        accelerator, plan, made = self._replaced(model, stage)
        return with_restored(model, made), {"fitness": _fitness(accelerator, plan)}

    def _decompose(self, model, stage, number):
        accelerator, plan, made = self._replaced(model, stage)
        parameters = {item.spec.name: {
            "old": [name for name in (item.spec.weight, item.spec.bias) if name],
            "new": [name for name in new_names(item.spec, item.chain) if name.endswith(("_weight", "_bias"))]}
            for item in made}
        return replace_layers(model, made), {"fitness": _fitness(accelerator, plan), "parameters": parameters}

    def _train(self, model, stage, number):
        head = self._session.settled(model, trainable_head(model, self._session.shapes, self._output))
        keeper = StageKeeper(stage_prefix(self.state.prefix, number), {
            "stage": number, "network": "of fingerprint %08x" % fingerprint(model)})
        going = self._session.run_of(model, head, keeper, stage.epochs, self._frozen(model), self._seed_of(number))
        self._resume(going)
        entries = going.go()
        return going.model(), {"entries": [entry.as_dict() for entry in entries]}

    def _resume(self, going):
        """Go on inside the stage, where an earlier run began it."""
        if resume.exists(going.keeper.prefix):
            arrays, note = resume.load(going.keeper.prefix)
            if note["settings"] == going.keeper.settings:
                going.resume(arrays, note)

    def _frozen(self, model):
        """Parameters that stay: of chains, unless these are trained, and those of the person."""
        stay = set(self._held)
        for record in self.state.done:
            for names in record["parameters"].values():
                if not self._unfreeze or set(names["old"]) <= self._held:
                    stay.update(names["new"])
        return [name for name in model.arg_params if name in stay]

    def _seed_of(self, number):
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _fitness(accelerator, plan):
    with one_blas_thread():
        return {row.layer: fitness(accelerator.candidate(row.layer, methods.get(row.method)), row.rank)
                for row in plan.rows}
