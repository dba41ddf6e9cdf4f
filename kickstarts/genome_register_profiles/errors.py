"""What can go wrong.

ServerError      cobbler does not answer, or not as cobbler does
  Refused        cobbler answered with an error of its own
Usage            the arguments, or the files they name, cannot be used
"""


class ServerError(Exception):
    """Cobbler does not answer, or not as cobbler does; the text says which."""


class Refused(ServerError):
    """Cobbler answered with an error of its own."""


class Usage(Exception):
    """The arguments, or the files they name, cannot be used."""
