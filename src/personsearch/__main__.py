"""`python -m personsearch`: the command line."""

from personsearch.cli import main

main()
