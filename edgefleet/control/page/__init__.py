"""Holds the page of a run: what a browser is given, as it is, with nothing to build."""
