"""certmaster on Python 3: the certificate authority of a Func network, with the files of certmaster 0.28."""

__version__ = "2.0.0"
