"""Topcoat: open hardware for supermask networks. The command line is in :mod:`topcoat.cli`."""

__version__ = "0.1.0"
