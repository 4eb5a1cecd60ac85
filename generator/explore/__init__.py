"""The explorer in the browser: a point of a model that is moved by hand, and all that follows from it."""
