"""Who is there and who is missing, by what the processes told of themselves."""

import pytest

from app.database.instances import Life
from app.services.presence import LOST_SECONDS, here_and_missing

HERE = 0.5


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ([Life(900, HERE), Life(900, HERE)], []),
        ([Life(900, HERE), Life(900, 60)], [Life(900, 60)]),  # nobody started since
        ([Life(50, HERE), Life(900, 60)], []),  # in its place
        ([Life(70, HERE), Life(900, 60)], [Life(900, 60)]),  # started before the other one fell silent
        ([Life(50, HERE), Life(900, 60), Life(900, 70)], [Life(900, 70)]),  # one for two
        ([Life(10, HERE), Life(40, 12), Life(70, 45), Life(900, 75)], []),  # each died in the place of the one before
        ([Life(40, 12), Life(70, 45), Life(900, 75)], [Life(40, 12)]),  # and the last one has nobody in its place
        ([Life(5000, LOST_SECONDS + 1)], []),
    ],
)
def test_a_process_is_missed_until_another_one_started_in_its_place(told: list[Life], missing: list[Life]) -> None:
    here, found = here_and_missing(told)
    assert found == missing
    assert here == [one for one in told if one.silent == HERE]
