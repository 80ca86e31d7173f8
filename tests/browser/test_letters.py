"""Commands, dead letters and jobs: judged first, done with exactly those that were shown, and told one by one."""

import json

from tests.browser.desk import Desk
from tests.browser.scene import Scene, command
from tests.harness.waiting import until


def test_a_dead_letter_is_judged_and_sent_again_by_a_job(either_desk: Desk, scene: Scene) -> None:
    letter = scene.spoiled()
    page = either_desk.go("/console/commands")
    page.get_by_role("link", name="Judge").first.click()
    page.get_by_text("still unreadable").first.wait_for()
    for box in page.locator("input[name=id]").all():
        box.set_checked(box.get_attribute("value") == str(letter))
    later = scene.spoiled()
    page.get_by_label("Reason").fill("the reader was mended")
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("heading", name="Job").wait_for()
    until(lambda: scene.resolution(letter) == "replayed", "the letter replayed", 20)
    page.reload()
    page.get_by_text(f"Dead letter {letter} was sent again").first.wait_for()
    assert scene.resolution(later) is None


def test_a_dead_letter_is_discarded_by_a_job(either_desk: Desk, scene: Scene) -> None:
    letter = scene.spoiled()
    scene.settle()
    page = either_desk.go(f"/console/letters/{scene.group()}")
    for box in page.locator("input[name=id]").all():
        box.set_checked(box.get_attribute("value") == str(letter))
    page.get_by_label("Reason").fill("nobody misses it")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("heading", name="Job").wait_for()
    until(lambda: scene.resolution(letter) == "discarded", "the letter discarded", 20)


def test_a_mended_copy_is_judged_and_goes_in_the_place_of_the_letter(either_desk: Desk, scene: Scene) -> None:
    letter, order_id = scene.spoiled(), scene.order("CREATED")
    page = either_desk.go(f"/console/letter/{letter}")
    page.get_by_label("The copy").fill(json.dumps({"type": "nothing"}))
    page.get_by_role("button", name="Judge it").click()
    page.get_by_text("The copy would be still unreadable").wait_for()
    page.get_by_label("The copy").fill(
        command("update_order_status", "mended", order_id=order_id, status="PLACED").decode()
    )
    page.get_by_role("button", name="Judge it").click()
    page.get_by_text("The copy would be order.status_updated, version 3").wait_for()
    assert scene.state(order_id) == ("CREATED", 2)
    page.get_by_label("Reason").fill("its sender sent half of it")
    page.get_by_role("button", name="Send the copy").click()
    page.get_by_text("sent as").wait_for()
    assert scene.resolution(letter) == "mended"
    until(lambda: scene.state(order_id) == ("PLACED", 3), "the mended command handled", 20)


def test_a_command_that_was_given_up_is_discarded(either_desk: Desk, scene: Scene) -> None:
    given_up = scene.give_up()
    page = either_desk.go(f"/console/commands/given-up/{given_up}")
    page.get_by_label("Reason").fill("its sender knows")
    page.get_by_role("button", name="Discard it").click()
    page.get_by_text("1 discarded").wait_for()
    assert scene.query("SELECT 1 FROM given_up_commands WHERE id = %s", [given_up]) == []


def test_only_the_chosen_commands_are_discarded(desk: Desk, scene: Scene) -> None:
    first, second = scene.give_up(), scene.give_up()
    page = desk.go("/console/commands")
    page.get_by_label(f"Command {first}", exact=True).check()
    page.get_by_label("Reason").fill("its sender knows")
    page.get_by_role("button", name="Discard those chosen").click()
    page.get_by_text("1 discarded").wait_for()
    assert scene.query("SELECT id FROM given_up_commands WHERE id IN (%s, %s)", [first, second]) == [(second,)]


def test_a_check_is_begun_and_its_report_shown(either_desk: Desk, scene: Scene) -> None:
    page = either_desk.go("/console/acts")
    form = page.locator("form", has_text="Check now")
    form.get_by_label("Reason").fill("a quiet moment")
    form.get_by_role("button", name="Check now").click()
    page.get_by_role("heading", name="Job").wait_for()
    job = int(page.url.rsplit("/", 1)[1])
    over = "SELECT 1 FROM jobs WHERE id = %s AND ended_at IS NOT NULL"
    until(lambda: scene.query(over, [job]), "the check over", 20)
    page.reload()
    page.get_by_text("Compared:").wait_for()
    either_desk.go("/console/acts")
    assert f"job {job}" in either_desk.text()
    assert "a quiet moment" in either_desk.text()


def test_a_drill_is_begun_and_its_seconds_are_told(desk: Desk, scene: Scene) -> None:
    scene.settle()
    page = desk.go("/console/acts")
    form = page.locator("form", has_text="Begin the drill")
    form.get_by_label("Drill").select_option("records")
    form.get_by_label("Reason").fill("before the release")
    form.get_by_role("button", name="Begin the drill").click()
    page.get_by_role("heading", name="Job").wait_for()
    page.get_by_text("Quiet after").first.wait_for(timeout=40_000)
    assert "Nothing is wrong." in desk.text()
