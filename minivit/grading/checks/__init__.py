"""One module an exercise; each names its description EXERCISE."""
