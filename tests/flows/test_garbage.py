"""Full garbage collections while much is made that stays, as imports do."""

import subprocess
import sys

COUNTED = """
import gc, sys
if sys.argv[1] == "as in a command":
    from bigfusion.flows.garbage import collect_all_rarely
    collect_all_rarely()
stays = [[number] for number in range(1_000_000)]
print(*gc.get_threshold()[:2], gc.get_stats()[2]["collections"])
"""


def test_a_command_does_not_look_through_all_that_stays_again_and_again():
    plain, command = (
        [int(word) for word in subprocess.check_output([sys.executable, "-c", COUNTED, how], text=True).split()]
        for how in ("plain", "as in a command")
    )
    assert plain[2] > 2 and command[2] == 0
    assert plain[:2] == command[:2], "young objects are collected as often"
