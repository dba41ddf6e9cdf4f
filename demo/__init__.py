"""A whole cloud on one machine: for `make run`, the integration tests and the benchmarks; not shipped."""
