"""Every cause and every finding as a scenario: what produces it, what is then said, what heals it.

One module each for the parts of the table of causes.
"""

from tests.emulator.scenarios.blindness import BLINDNESS
from tests.emulator.scenarios.enforcement import ENFORCEMENT
from tests.emulator.scenarios.exclusion import EXCLUSION
from tests.emulator.scenarios.findings import FINDINGS
from tests.emulator.scenarios.loss import LOSS
from tests.emulator.scenarios.node import NODE
from tests.emulator.scenarios.selection import SELECTION
from tests.emulator.scenarios.timing import TIMING

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *NODE,
        *SELECTION,
        *TIMING,
        *ENFORCEMENT,
        *LOSS,
        *EXCLUSION,
        *BLINDNESS,
        *FINDINGS,
    )
}
