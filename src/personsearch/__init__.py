"""Find one person in many whole scene pictures."""
