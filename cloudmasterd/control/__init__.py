"""cloudmasterctl: what an administrator does to the cloud master itself, from its shell."""
