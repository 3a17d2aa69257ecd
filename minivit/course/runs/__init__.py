"""Long runs: what takes more than class time. `python -m minivit.course.runs NAME` goes on where it
stopped, and writes results/NAME.json, which a lecture shows and says so: into data/ of a checkout;
of an installed package into build/ of the folder where you stand."""
