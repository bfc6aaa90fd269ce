"""The web pages in a real browser."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stumble.outcome.facts import EventOrigin, Fact
from tests.support.rows import START, Store, micros

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECONDS = 90_000


def publish(store: Store, failure: dict[str, Any], **given: Any) -> None:
    """Publish a failure as the projector does, with times in microseconds."""
    store.publish("failure", {**failure, "occurred_at": micros(failure["occurred_at"])}, **given)


def test_failure_list_shows_new_failures_and_corrections_live(store: Store, page: Page) -> None:
    store.failure(store.request(display_name="old"))
    page.goto("/")
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    rows = page.locator("#failures tbody tr")
    assert rows.count() == 1
    new = store.failure(store.request(display_name="new"), reason="<script>alert(1)</script>",
                        occurred_at=START + timedelta(hours=1))  # fmt: skip
    publish(store, new)
    rows.nth(1).wait_for(timeout=SECONDS)
    assert rows.nth(0).locator("[data-field=server]").inner_text() == "new"
    assert "<script>alert(1)</script>" in rows.nth(0).inner_text()
    assert "2026-01-31 13:00:02" not in rows.nth(0).inner_text()
    assert "2026-01-31 13:00:00" in rows.nth(0).inner_text()
    publish(store, new, revision=2, blame="CAPACITY")
    rows.nth(0).get_by_text("capacity").wait_for(timeout=SECONDS)
    assert rows.count() == 2
    publish(store, new, revision=3, status="RETRACTED")
    page.locator("tr.gone").wait_for(timeout=SECONDS)


def test_message_is_shown_beside_a_reason_that_is_only_a_class_in_listed_and_live_rows(
    store: Store, page: Page
) -> None:
    request = store.request(reason="libvirtError")
    store.failure_with_message(request, "internal error:\n <b>listed</b> " + "x" * 300)
    page.goto("/")
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    messages = page.locator("#failures tbody tr .message")
    assert messages.nth(0).inner_text() == "internal error: <b>listed</b> " + "x" * 269 + "…"
    live = store.failure_with_message(
        store.request(), "internal error:\n <b>live</b> " + "x" * 300, occurred_at=START + timedelta(hours=1),
        reason="libvirtError: the host refused it",
    )  # fmt: skip
    publish(store, live)
    messages.nth(1).wait_for(timeout=SECONDS)
    assert messages.nth(0).inner_text() == "internal error: <b>live</b> " + "x" * 271 + "…"
    assert page.locator("#failures tbody tr .reason").nth(0).inner_text() == "the host refused it"
    page.reload()
    assert page.locator("#failures tbody tr .reason").nth(0).inner_text() == "the host refused it"
    for path in ("requests/" + request["request_id"], f"servers/{request['instance_uuid']}"):
        page.goto(f"/{path}")
        assert page.locator(".message").nth(0).inner_text().startswith("internal error: <b>listed</b>")


def test_new_rows_wait_behind_a_button_while_the_page_is_scrolled_down(store: Store, page: Page) -> None:
    for number in range(60):
        store.failure(store.request(), occurred_at=START - timedelta(minutes=number))
    page.goto("/")
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    page.mouse.wheel(0, 1500)
    page.wait_for_function("scrollY > 500")
    publish(store, store.failure(store.request(display_name="late"), occurred_at=START + timedelta(minutes=1)))
    new_failures_button = page.get_by_role("button", name="1 new failure")
    new_failures_button.wait_for(timeout=SECONDS)
    assert page.locator("#failures tbody tr").count() == 60
    new_failures_button.click()
    page.locator("#failures tbody tr").first.get_by_text("late").wait_for(timeout=SECONDS)


def test_filters_apply_to_live_failures(store: Store, page: Page) -> None:
    store.failure(store.request(display_name="mine", action="resize"), blame="CAPACITY")
    store.failure(store.request(display_name="other"), blame="USER")
    page.goto("/")
    page.get_by_label("Blame").select_option("CAPACITY")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**blame=CAPACITY**")
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    rows = page.locator("#failures tbody tr")
    assert [text.split()[2] for text in rows.all_inner_texts()] == ["resize"]
    later = {"occurred_at": START + timedelta(hours=1)}
    publish(store, store.failure(store.request(display_name="unasked"), blame="USER", **later))
    publish(store, store.failure(store.request(display_name="asked"), blame="CAPACITY", **later))
    rows.nth(1).wait_for(timeout=SECONDS)
    assert "asked" in rows.nth(0).inner_text()
    assert rows.count() == 2


def test_older_failures_are_on_the_next_page(store: Store, page: Page) -> None:
    request = store.request()
    for number in range(101):
        store.failure(request, exception=f"E{number:03d}", occurred_at=START - timedelta(minutes=number))
    page.goto("/")
    page.get_by_role("link", name="Older failures").click()
    page.wait_for_url("**cursor=**")
    assert page.locator("#failures tbody tr").count() == 1
    assert page.get_by_text("E100").is_visible()
    page.get_by_role("link", name="Newest").click()
    page.locator("#failures tbody tr").nth(99).wait_for(timeout=SECONDS)


def test_empty_list_shows_a_sentence_until_the_first_failure(store: Store, page: Page) -> None:
    page.goto("/")
    page.get_by_text("No failures so far.").wait_for()
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    publish(store, store.failure(store.request(display_name="first")))
    page.get_by_role("link", name="first").wait_for(timeout=SECONDS)
    assert page.get_by_text("No failures so far.").count() == 0


def _state(at: datetime, vm_state: str, task_state: str | None) -> Fact:
    origin = EventOrigin(*(None,) * 13, labels=())
    state = (vm_state, task_state, None, None)
    return Fact(micros(at), str(uuid.uuid4()), "instance.update", "PROGRESS", None, None, state, None, None, origin)


def test_server_page_shows_states_and_actions_side_by_side(store: Store, page: Page) -> None:
    server, later = uuid.uuid4(), START + timedelta(hours=1)
    create = store.request(instance_uuid=server, action="create", outcome="RECOVERED", request_id="req-1")
    store.failure(create, host="cmp1", exception="ComputeResourcesUnavailable")
    stop = store.request(
        instance_uuid=server, action="stop", outcome="IN_PROGRESS", request_id="req-2", started_at=later
    )
    for request_id, facts in (
        ("req-1", [_state(START, "building", "spawning"), _state(START + timedelta(seconds=5), "active", None)]),
        ("req-2", [_state(later, "active", "powering-off")]),
    ):
        store.facts(server, request_id, facts)
    page.goto("/")
    page.get_by_placeholder("server uuid").fill(str(server))
    page.get_by_role("button", name="Find").click()
    page.wait_for_url(f"**/servers/{server}")
    lanes = page.locator(".lane-row")
    assert lanes.count() == 2
    assert "powering-off" in lanes.nth(0).locator(".state-lane").inner_text()
    assert "in progress" in lanes.nth(0).locator(".action-lane").inner_text()
    assert lanes.nth(1).locator(".change").all_inner_texts()[0].startswith("active")
    assert "ComputeResourcesUnavailable" in lanes.nth(1).locator(".action-lane").inner_text()
    page.get_by_role("status").get_by_text("live").wait_for(timeout=SECONDS)
    store.finish_request(stop, "SUCCEEDED")
    lanes.nth(0).get_by_text("succeeded").wait_for(timeout=SECONDS)


def test_request_page_links_to_the_details_of_its_failure(store: Store, page: Page) -> None:
    event = uuid.uuid4()
    request = store.request(request_id="req-1", action="resize", verdict="NoValidHost")
    store.failure(request, detail_event_id=event, event_ids=[event])
    store.event(event, failure={"message": "raw words", "traceback": "Traceback (most recent call last)"})
    page.goto("/requests/req-1")
    assert "resize on web-1" in page.get_by_role("heading", level=2).inner_text()
    assert page.get_by_text("NoValidHost").is_visible()
    page.get_by_role("link", name="InstancePowerOffFailure").click()
    page.get_by_text("Traceback (most recent call last)").wait_for()
    assert page.get_by_text("raw words").is_visible()


def test_page_fits_a_small_screen_and_follows_the_dark_color_scheme(store: Store, page: Page) -> None:
    store.failure(store.request(), reason="A" * 400)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 380, "height": 700})
    page.goto("/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_documentation_page_works_offline(page: Page) -> None:
    page.goto("/docs")
    page.get_by_text("/v1/failures", exact=True).wait_for(timeout=SECONDS)
