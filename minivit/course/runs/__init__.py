"""Long runs: what takes more than class time. `python -m minivit.course.runs NAME` goes on where it
stopped, and writes data/results/NAME.json, which a lecture shows and says so."""
