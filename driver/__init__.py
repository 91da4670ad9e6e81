"""What runs beside an engine: its driver in Python, its driver in C (topcoat.h), and the program file that both load.
Needs arch and NumPy, nothing else of this project."""
