"""The wire modules: the file's name is the name on the wire."""
