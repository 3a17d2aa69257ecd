"""Everything that can go wrong, by name.

Every error says which argument, what came, what was expected and what to do; each is also the
built-in exception that a caller would have caught without knowing this library.
"""


class MinivitError(Exception):
    """Anything this library refuses to do."""


class ShapeError(MinivitError, ValueError):
    """Shapes that do not fit each other, or an image that does not divide into patches."""


class DtypeError(MinivitError, TypeError):
    """A dtype that the argument cannot have: integers asked for a gradient, a mask not boolean."""


class ArgumentError(MinivitError, TypeError):
    """An argument that the function does not take, or one that it needs and did not get."""


class OptionError(MinivitError, ValueError):
    """A value that an argument cannot have: an unknown option, a number out of range."""


class DeviceError(MinivitError, RuntimeError):
    """Operands on two devices, or a device that is not there."""


class RangeError(MinivitError, IndexError):
    """A label or token id outside of what the table or the logits hold."""


class GraphError(MinivitError, RuntimeError):
    """A backward pass that cannot be: twice, without a cotangent, or over overwritten arrays."""


class NonFiniteError(MinivitError, FloatingPointError):
    """NaN or infinity where training needs numbers; names the op that made it first."""


class GradientError(MinivitError, AssertionError):
    """A hand-derived gradient that central differences contradict."""


class RankError(MinivitError, RuntimeError):
    """Processes that should work as one and do not: another program, seed or data, or silence."""


class StateError(MinivitError, ValueError):
    """A state_dict of another architecture: missing, unexpected or mis-shaped names."""


class CheckpointError(MinivitError, OSError):
    """A checkpoint file that is truncated, corrupted or not a checkpoint."""


class TextError(MinivitError, ValueError):
    """Text that has no tokens here, or a vocabulary that cannot be made or used."""


class DataError(MinivitError, OSError):
    """Data that are asked for and are not there, or a file that is missing or damaged."""
