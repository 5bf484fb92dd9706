"""Every error the project raises on purpose. A message says what was wrong, where, and what to do."""


class CoursestreamError(Exception):
    """Base of all errors that are shown to a person as one line."""


class InvalidEventError(CoursestreamError):
    """A record is no valid event; `field` names what is wrong (empty: the whole record)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class UnknownLayoutError(CoursestreamError):
    """A folder is none of the known data layouts."""


class ConfigurationError(CoursestreamError):
    """A setting, or the broker or server it points at, does not fit; nothing was started."""


class StateDirInUseError(CoursestreamError):
    """Another `up` is running on this state directory."""


class BundleError(CoursestreamError):
    """A model bundle is missing, truncated, changed since it was written, or of a foreign format."""


class LogTruncatedError(CoursestreamError):
    """The log starts after, or ends before, what the state has seen: events were lost or replaced."""


class NotReadyError(CoursestreamError):
    """A dependency is unavailable for now; the same call may succeed later."""
