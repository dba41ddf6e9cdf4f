"""Reinstall the machine this runs on, at its next boot, from a profile of a cobbler server.

It stands on the standard library alone and knows nothing of the other packages, because it is what a machine
has before it has anything else of ours.
"""

__version__ = "1.0.0"
