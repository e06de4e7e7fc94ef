"""Full garbage collections while much is made that stays, as imports do, and at the end of a process."""

import subprocess
import sys

COUNTED = """
import atexit, gc, sys
counted = lambda: gc.get_stats()[2]["collections"]
if sys.argv[1] == "as in a command":
    from bigfusion.flows.garbage import collect_all_rarely
    atexit.register(lambda: print(gc.get_freeze_count() > 1_000_000, counted()))
    collect_all_rarely()
    collect_all_rarely()
stays = [[number] for number in range(1_000_000)]
print(*gc.get_threshold()[:2], counted())
"""


def counted(how: str) -> list[str]:
    return subprocess.check_output([sys.executable, "-c", COUNTED, how], text=True).splitlines()


def test_a_command_does_not_look_through_all_that_stays_again_and_again():
    plain, command = ([int(word) for word in counted(how)[0].split()] for how in ("plain", "as in a command"))
    assert plain[2] > 2 and command[2] == 0
    assert plain[:2] == command[:2], "young objects are collected as often"


def test_nor_more_than_once_when_it_ends():
    assert counted("as in a command")[1:] == ["True 1"]


CIRCLE = """
from bigfusion.flows.garbage import collect_all_rarely
collect_all_rarely()
class Open:
    def __del__(self):
        print("closed")
left = Open()
left.itself = left
del left
print("the end")
"""


def test_what_was_left_open_in_a_circle_is_closed_at_the_end():
    assert subprocess.check_output([sys.executable, "-c", CIRCLE], text=True) == "the end\nclosed\n"
