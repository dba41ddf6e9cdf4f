"""Func on Python 3: call methods on many machines over XML-RPC and mutual TLS, on the wire as Func 0.30."""
