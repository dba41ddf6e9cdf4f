"""Func's name for the standard library's subprocess, for third-party modules; nothing of ours uses it."""

from subprocess import *  # noqa: F403
