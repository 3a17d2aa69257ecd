"""One file a peer: `VERSION`, and `make(work, threads)`, which gives a function that does one unit
of work and returns its loss or output (W7: a dict of such functions). A work that the peer does not
do is a NotImplementedError that says why. Each is written as its users would at their best."""
