"""The floor rises only over ids that can come no more: what `look` and `rise` make of what they are told."""

from app.database.floor import Floor

Writer = tuple[str, bool]

NOBODY: list[Writer] = []
LATE: list[Writer] = [("3/17", False)]
ANOTHER: list[Writer] = [("4/9", False)]
PREPARED: list[Writer] = [("-1/812", True)]


def after(*looks: tuple[int | None, list[Writer], int | None]) -> int:
    """The floor after looks at what was drawn, who writes, and the oldest row."""
    floor = Floor()
    for drawn, writers, oldest in looks:
        floor.look(drawn, writers)
        floor.rise(oldest)
    return floor.id


def test_where_nobody_writes_it_rises_to_what_was_drawn() -> None:
    assert after((100, NOBODY, None)) == 100


def test_it_stays_below_the_oldest_row() -> None:
    assert after((100, NOBODY, 40)) == 39


def test_whoever_wrote_then_holds_it_until_the_end() -> None:
    assert after((100, LATE, None), (200, LATE + ANOTHER, None), (300, LATE, None)) == 0


def test_writers_that_came_later_do_not_hold_it() -> None:
    assert after((100, LATE, None), (200, ANOTHER, None)) == 100


def test_what_a_late_writer_leaves_is_above_it() -> None:
    assert after((100, LATE, 90), (200, ANOTHER, 70)) == 69


def test_a_prepared_transaction_may_be_one_of_then() -> None:
    assert after((100, LATE, None), (200, PREPARED, None)) == 0
    assert after((100, LATE, None), (200, PREPARED, None), (200, NOBODY, None)) == 200


def test_where_nothing_is_known_to_be_drawn_it_stays() -> None:
    assert after((None, NOBODY, None), (None, NOBODY, 7)) == 0


def test_a_sequence_that_was_set_back_takes_it_down() -> None:
    assert after((100, NOBODY, None), (5, LATE, None)) == 0
    assert after((100, NOBODY, None), (5, LATE, None), (6, NOBODY, None)) == 6
