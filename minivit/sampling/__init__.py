"""Sampling: the output fed back into the input, and how that is made fast."""

from minivit.sampling import decoding, generation
