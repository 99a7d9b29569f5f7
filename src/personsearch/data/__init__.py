"""Scenes, persons and queries, and where they come from."""
