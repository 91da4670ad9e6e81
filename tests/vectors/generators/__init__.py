"""The generators of the test vectors, by subject; nothing here is imported from the project."""
