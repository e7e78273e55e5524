"""What Retouch raises when the fault lies with what it was given, not with itself."""

from __future__ import annotations


class RetouchError(Exception):
    """A bad input, told in one line that a person can act on.

    The command line prints the message without a traceback and exits with 1 (an input failed).
    """


class PictureError(RetouchError):
    """A file that is not a usable picture: truncated, empty, of an unknown kind, too large, or holding NaN."""


class OptionError(RetouchError, ValueError):
    """The call itself was wrong: an unknown name, a value out of range. The command line exits with 2."""
