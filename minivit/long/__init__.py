"""Long runs: what takes more than class time. `python -m minivit.long NAME` goes on where it
stopped, and writes lectures/results/NAME.json, which a lecture shows and says so."""
