"""The cloud master: a REST interface and a browser view of machine instances on cloud instances."""

__version__ = "2.0.0"
