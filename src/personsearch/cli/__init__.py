"""The command line, `personsearch`: app.py puts the commands together."""
