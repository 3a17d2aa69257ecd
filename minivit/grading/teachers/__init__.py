"""What teachers do: hand out, collect, grade a class, and report."""
