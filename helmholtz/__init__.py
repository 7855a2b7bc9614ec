"""Measure how much of an image or audio data set is noise for a classification task (the Helmholtz method)."""

__version__ = "0.1.0"
