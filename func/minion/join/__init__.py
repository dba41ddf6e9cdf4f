"""cloudmaster-join: make this machine a cloud instance of a cloud master."""
