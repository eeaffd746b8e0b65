"""The one exception that stands for bad input rather than a defect of the program."""


class InputError(ValueError):
    """Bad input: the message is one sentence saying what is wrong, where, and how to mend it.

    The command line prints the message alone and exits with status 2.
    """


class NothingToRead(InputError):
    """Texts of which no code can be learned: the rows that read them are not run, and all others are."""
