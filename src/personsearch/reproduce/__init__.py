"""The papers' tables and figures as data, and what trains, measures and prints them."""
