"""The calling policy of the tests' orchestrators: every hour is permitted, because they call simulators."""

from pathlib import Path

from centralita.embedded.vendors import ANY_TIME
from centralita.replay.decisions import read_calling_policy

ANY_TIME_POLICY = read_calling_policy(Path(ANY_TIME))
