"""What runs beside the student's code, in a process of its own, and what holds it there."""
