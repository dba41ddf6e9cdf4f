"""The called side of Func."""
