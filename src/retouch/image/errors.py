"""What Retouch raises when the fault lies with what it was given, not with itself."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class RetouchError(Exception):
    """A bad input, told in one line that a person can act on.

    The command line prints the message without a traceback and exits with 1 (an input failed).
    """


class PictureError(RetouchError):
    """A file that is not a usable picture: truncated, empty, of an unknown kind, too large, or holding NaN."""


class PictureWarning(UserWarning):
    """Something of a picture could not be kept or had to be converted; the message says what and why."""


class OptionError(RetouchError, ValueError):
    """The call itself was wrong: an unknown name, a value out of range. The command line exits with 2."""


class Cancelled(RetouchError):
    """The person, or a listener, asked to stop."""


def unknown(what: str, name: str, known: Sequence[str], where: str = "") -> str:
    """The message for a name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{name}'{' ' + where if where else ''}{hint} (known: {', '.join(known)})"
