"""Training: data sets and batches, the loop, its checkpoints, and a look at what was learned."""
