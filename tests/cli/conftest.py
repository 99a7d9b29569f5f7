"""Makes the fake people and the fake model of the search tests known here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
