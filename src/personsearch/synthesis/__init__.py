"""Rendered people in rendered places: an endless benchmark that anyone can make."""
