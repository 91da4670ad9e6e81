"""The engine in Amaranth: one component, or one tight family, per file. Imports nothing from golden or compiler."""
