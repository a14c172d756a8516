"""Every error that Gazecut raises on purpose.

A message says what went wrong, where, what was found, what is allowed and what to do next. `exit_status` is what the
command line returns: 2 when the request was wrong (arguments, recipe, input, missing plugin or weights), 1 when the run failed.
"""


class GazecutError(Exception):
    """Base of all errors that Gazecut raises; the run failed."""

    exit_status = 1


class RequestError(GazecutError):
    """The request was wrong, and whoever made it can mend it."""

    exit_status = 2


class ClipError(RequestError):
    """A clip cannot be opened or decoded."""


class RecipeError(RequestError):
    """A recipe, an override or an option is wrong."""


class PluginError(RequestError):
    """A component is unknown, failed to load or needs an extra that is not installed."""


class PromptError(RequestError):
    """A prompt set, a template or an expression cannot be used."""


class WeightsError(RequestError):
    """Model weights are missing or of the wrong kind."""


class DeviceError(RequestError):
    """A device is unknown or not present on this machine."""


class OutputError(RequestError):
    """Results cannot be written where they were asked for."""


class WorldError(RequestError):
    """The pocket world was asked for a scene that it cannot make."""


class ShapeError(RequestError, ValueError):
    """An array has a shape, dtype or range that the receiving value does not allow; whoever hands it over can mend it."""


class BackendError(GazecutError):
    """A multimodal LLM or an attribution failed while it ran."""


class SegmenterError(GazecutError):
    """A segmenter failed while it ran."""


class DataError(RequestError):
    """Data to train or evaluate on is missing, incomplete or of another form."""


class TrainingError(GazecutError):
    """Training went wrong while it ran."""
