"""The engine: arrays with gradients. Read its files in the order of `help(minivit)`."""

from minivit.engine import memory  # asks the C library to keep what is freed
