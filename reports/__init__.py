"""What simulated networks cost, as tables, plots and pages. Reads golden, compiler and sim; nothing reads it."""
