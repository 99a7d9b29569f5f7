"""Networks. They know no losses, no files and no identity counts."""
