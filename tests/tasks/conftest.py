"""Lets these tests import the helpers beside the tests of the modules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "modules"))
