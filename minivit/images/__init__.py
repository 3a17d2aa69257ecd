"""Images on their way into a model: pictures from files, patches, colours of a palette."""
