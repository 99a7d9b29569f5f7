"""One module for each layout in which benchmarks are published: its loader, and where there is one its writer."""
