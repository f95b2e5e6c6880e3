"""Errors a person can act on: what is wrong, and what to type next.

`assert` is for our own bugs. Everything here is caught once, in `mimo_cli/app.py`, and printed as two lines.
"""


class MimoError(Exception):
    """A problem the user can solve; `exit_code` is what the shell sees."""

    exit_code = 3

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}"


class UsageError(MimoError):
    """The command line itself makes no sense (exit code 2)."""

    exit_code = 2


class InputError(MimoError):
    """A file of the user's is missing, broken or does not fit (exit code 3)."""


class RecipeError(InputError):
    """A value in a TOML file (project or recipe) cannot be used (exit code 3)."""


class MissingError(MimoError):
    """Something has to be installed or downloaded first (exit code 4)."""

    exit_code = 4
