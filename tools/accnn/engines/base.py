"""The contract of an engine, and the registry that finds one by name."""
from abc import ABC, abstractmethod

from accnn.core import amx
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32
from accnn.core.registry import Registry


class Engine(ABC):
    """A library that runs networks: loads a model in a precision, and gives a callable.

    Attributes
    ----------
    name : str
        What options and tables call it.
    summary : str
        One line for the help of a script.
    precisions : tuple of str
        Those it may have, of :data:`accnn.core.layers.PRECISIONS`; whether here: :meth:`refuse`.
    profiles : bool
        Whether it times operators, for :meth:`Network.between`.
    """

    name = summary = None
    precisions = (FP32,)
    profiles = False

    @abstractmethod
    def available(self):
        """str or None: why it cannot be used in this environment, and what to install."""

    @property
    @abstractmethod
    def version(self):
        """str: of the library."""

    def refuse(self, precision, stored=FP32):
        """Say why networks cannot be run in a precision here.

        Parameters
        ----------
        precision : str
        stored : str
            In which the checkpoint is.

        Returns
        -------
        str or None
        """
        why = self.available()
        if why is None and precision not in self.precisions:
            why = "the engine %s has no precision %r: choose from %s" % (
                self.name, precision, ", ".join(self.precisions))
        return why

    def check(self, precision, stored=FP32):
        """Raise an AccnnError, one sentence, where :meth:`refuse` has a reason."""
        why = self.refuse(precision, stored)
        if why is not None:
            raise AccnnError(why)

    def isa(self):
        """str: the instruction set that it computes with where nothing limits it; see :func:`accnn.core.amx.isa`."""
        return amx.isa(False)

    def check_network(self, model, input_shapes):
        """Refuse, before any work, a network that the engine cannot run.

        Parameters
        ----------
        model : Model
        input_shapes : dict of str to tuple of int
            Without the batch.

        Raises
        ------
        AccnnError
            Names the node.
        """
        return None

    @abstractmethod
    def load(self, model, input_shapes, batch_size, threads=None, precision=FP32, calibration=None, profiled=False):
        """Make a network ready to run in this process.

        Parameters
        ----------
        model : Model
            Not changed, nor its arrays.
        input_shapes : dict of str to tuple of int
            Of every input, without the batch.
        batch_size : int
            Examples in one pass.
        threads : int, optional
            Default: as many as the process has been told.
        precision : str
        calibration : iterable of dict of str to ndarray, optional
            Batches of inputs, preprocessed, which tell the ranges of INT8 tensors where the model does not hold them.
        profiled : bool
            For :meth:`Network.between`, and nothing but timing: ranges of INT8 tensors may be made up, and passes be a
            little slower.

        Returns
        -------
        Network

        Raises
        ------
        AccnnError
            The engine is not there, or cannot run the network like that; says why.
        """


class Network(ABC):
    """A network that an engine has loaded.

    Attributes
    ----------
    inputs : list of str
        In the order in which arrays are taken; labels come last and may be left out.
    output_names : list of str
    precision : str
        That was asked for.
    ran : str
        What really runs, for tables, as in ``'int8 in 16 of 16 layers'``.
    """

    @abstractmethod
    def __call__(self, *arrays):
        """Run a batch.

        Parameters
        ----------
        *arrays : ndarray
            One for each of :attr:`inputs`, with as many rows as the network was loaded for.

        Returns
        -------
        list of ndarray
            The outputs, float32 where they are no whole numbers.
        """

    @abstractmethod
    def once(self, *arrays):
        """Return what the clock is given: a callable that runs a pass, and returns when all outputs are in memory.

        Parameters
        ----------
        *arrays : ndarray
            As for a call; they are brought to where the engine reads them here, untimed.

        Returns
        -------
        callable
            Without arguments; returns nothing.
        """

    def between(self, first, last, *arrays):
        """Return what the clock is given to time a part of a network that was loaded to be profiled.

        Parameters
        ----------
        first, last : str
            Names of layers; what runs behind the one and before the other counts, from the beginning where there is no
            `first`, and to the end where there is no `last`.
        *arrays : ndarray
            As for a call.

        Returns
        -------
        callable
            Without arguments; returns seconds.
        """
        raise NotImplementedError


_registry = Registry("engine")
register, names, get = _registry.register, _registry.names, _registry.get
