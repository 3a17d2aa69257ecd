"""Commands for teachers: hand out, collect, grade a class, and report."""
