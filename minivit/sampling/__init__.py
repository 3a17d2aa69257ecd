"""Sampling: the output fed back into the input, and how that is made fast."""
