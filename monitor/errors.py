"""Errors that a person can act on: each message says what is wrong and what to do."""


class MonitorError(Exception):
    """What stops a command; `exit_code` is what the process then returns."""

    exit_code = 3


class ConfigurationError(MonitorError):
    """A configuration, an argument or an input file that cannot be used as it is."""

    exit_code = 2


class SourceError(MonitorError):
    """A peer that cannot be read and will not be readable by trying again."""
