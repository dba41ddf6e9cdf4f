"""The calling side of Func."""
