"""The page: a gallery's scenes, and people to click on, in a browser on this machine."""
