"""Lets these tests import the helpers beside the tests of the modules and of the tasks."""

import sys
from pathlib import Path

for folder in ("modules", "tasks"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
