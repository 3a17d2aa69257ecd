"""Side by side: minivit and its peers on the same work. `python -m benchmarks --help`.

works.py    W1 to W7: sizes, initial weights, data; the same for every peer
peers/      one file a peer: how it does each work, in its best formulation
worker.py   a process of its own for each peer and work; measures itself
race.py     drives the workers in turn and compares what they report
report.py   table, plot, JSON, RESULTS.md
profile.py  where minivit's own time goes, op by op
accuracy.py errors in ulp, beside PyTorch's: ACCURACY.md
"""
