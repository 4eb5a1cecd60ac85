"""The command line, a module a command; each is a few lines around a function of the API."""
