"""Registers the GenomeCloud profiles and their kickstarts in a cobbler server."""
