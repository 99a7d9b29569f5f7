"""What can go wrong, as a tree. Each message is one line that says what to do.

PersonSearchError
├── InputError            something the caller gave cannot be used
│   ├── ImageError        a picture is missing, damaged or too large
│   ├── VideoError        a video is missing, damaged, or ends before it should
│   ├── BoxError          a box has no area or lies outside its picture
│   ├── DataError         an annotation file or a benchmark's folder is not as published
│   └── SettingError      an unknown or impossible setting
├── WeightsError          weights are missing, damaged, or of another shape
└── GalleryError          a gallery is missing, damaged, or was made by another model
    └── BusyError         another program writes to it
"""


class PersonSearchError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1  # of the command line


class InputError(PersonSearchError):
    """Something the caller gave cannot be used."""


class ImageError(InputError):
    """A picture is missing, damaged or too large."""


class VideoError(InputError):
    """A video is missing, damaged, or ends before it should."""


class BoxError(InputError):
    """A box has no area or lies outside its picture."""

    exit_code = 2


class DataError(InputError):
    """An annotation file or a benchmark's folder is not as published."""


class SettingError(InputError):
    """An unknown or impossible setting."""

    exit_code = 2


class WeightsError(PersonSearchError):
    """Weights are missing, damaged, or of another shape."""


class GalleryError(PersonSearchError):
    """A gallery is missing, damaged, or was made by another model."""


class BusyError(GalleryError):
    """Another program writes to the gallery."""
