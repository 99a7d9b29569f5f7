"""`python -m personsearch`: the command line."""

from personsearch.cli.app import main

main()
