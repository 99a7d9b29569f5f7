"""Find one person in many whole scene pictures."""

__version__ = "0.1.0"
