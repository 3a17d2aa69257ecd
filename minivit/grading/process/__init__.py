"""The process of the student's code: the program that runs in it, and the sandbox around it."""
