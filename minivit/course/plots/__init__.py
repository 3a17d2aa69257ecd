"""The figures, a file a lecture: each is a function of arrays that returns a matplotlib Figure.

The data were computed before (`training.inspect`, or the lecture's own cells); here are only
axes, so that a lecture's cell shows the idea. Tests check what is in a figure: its arrays, dots and
words.
"""
