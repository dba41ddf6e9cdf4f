"""The REST interface and the browser view; both read the store and nothing else."""
