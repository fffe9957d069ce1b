"""The errors a user of autoreg meets."""

from __future__ import annotations


class AutoregError(Exception):
    """Base of every error that autoreg raises on purpose."""


class InputError(AutoregError, ValueError):
    """Something the user gave is wrong: a space, recipe, study, task, path or number.

    The message is one sentence or a few lines: the place, what was found, what is allowed,
    and where there is one the nearest right name. The command line prints it and exits with 2.
    """


class StudyError(AutoregError):
    """A study on disk cannot be used as asked (exists already, was made from another space, ...)."""


class NoTrialError(AutoregError, LookupError):
    """No trial meets the bounds that were given; the message names the best that was reached."""
