"""Findings as files that others use: a script without this package, a pytest file, the text of an issue."""
