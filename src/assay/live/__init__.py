"""The model worker: a program that holds a language model and answers in JSON lines (docs/live.md).

:mod:`assay.live.client` is for whoever asks, and imports no torch; ``python -m assay.live`` is the program.
"""
