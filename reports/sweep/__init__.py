"""Sweeps: what designs of a whole grid cost, computed in parallel, kept in one Parquet file and plotted by pairs."""
