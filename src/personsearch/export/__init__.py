"""Networks as graphs that other runtimes read."""
