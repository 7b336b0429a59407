"""The two queues of a call, without a call: what is kept for another try, what waits, and what never does."""

from __future__ import annotations

import threading

import pytest

from facewave.errors import RemoteError
from facewave.providers.remote import client
from facewave.providers.remote.client import Inbox, Outbox


def test_another_try_starts_with_the_first_request_while_nothing_was_answered() -> None:
    outbox = Outbox()
    for number in range(3):
        outbox.put(number, 10, timeout_s=0.0)
    first = outbox.messages()
    assert [next(first), next(first)] == [0, 1]
    assert outbox.replayable
    second = outbox.messages()
    outbox.close()
    assert list(first) == []  # The older try ends by itself.
    assert list(second) == [0, 1, 2]


def test_after_an_answer_nothing_is_kept() -> None:
    outbox = Outbox()
    for number in range(3):
        outbox.put(number, 10, timeout_s=0.0)
    sending = outbox.messages()
    assert [next(sending), next(sending)] == [0, 1]
    outbox.answered()
    assert not outbox.replayable
    outbox.close()
    assert list(outbox.messages()) == [2]


def test_too_much_to_keep_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_REPLAY_BYTES", 25)
    outbox = Outbox()
    for number in range(4):
        outbox.put(number, 10, timeout_s=0.0)
    sending = outbox.messages()
    assert [next(sending), next(sending)] == [0, 1]
    assert outbox.replayable
    assert next(sending) == 2
    assert not outbox.replayable


def test_a_full_outbox_refuses_audio_after_a_while_but_never_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING_BYTES", 15)
    outbox = Outbox()
    assert outbox.put("a", 10, timeout_s=0.0)
    assert outbox.put("b", 10, timeout_s=0.0)
    assert not outbox.put("c", 10, timeout_s=0.01)
    assert outbox.put("end", 0, timeout_s=0.0)
    outbox.close()
    sending = outbox.messages()
    assert next(sending) == "a"
    assert list(sending) == ["b", "end"]


def test_room_in_the_outbox_wakes_the_one_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING_BYTES", 15)
    outbox = Outbox()
    outbox.put("a", 10, timeout_s=0.0)
    outbox.put("b", 10, timeout_s=0.0)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(outbox.put("c", 10, timeout_s=30.0)))
    thread.start()
    sending = outbox.messages()
    assert next(sending) == "a"
    thread.join(20)
    assert taken == [True]


def test_the_first_request_counts_as_gone_when_the_second_is_fetched() -> None:
    outbox = Outbox()
    outbox.put("header", 10, timeout_s=0.0)
    outbox.put("audio", 10, timeout_s=0.0)
    sending = outbox.messages()
    next(sending)
    assert not outbox.flowing.is_set()
    next(sending)
    assert outbox.flowing.is_set()


def test_a_discarded_outbox_ends_the_sending_and_swallows_what_follows() -> None:
    outbox = Outbox()
    outbox.put("a", 10, timeout_s=0.0)
    sending = outbox.messages()
    assert next(sending) == "a"
    outbox.discard()
    assert outbox.put("b", 10, timeout_s=0.0)
    assert list(sending) == []


def test_responses_come_before_the_failure_that_followed_them() -> None:
    inbox = Inbox()
    inbox.put(1)
    inbox.put(2)
    inbox.end(RemoteError("gone"))
    inbox.end(None)  # Only the first end counts.
    before = inbox.exhausted
    assert inbox.take() == [1, 2]
    assert (before, inbox.exhausted) == (False, True)
    for _ in range(2):
        with pytest.raises(RemoteError, match="gone"):
            inbox.take()


def test_a_full_inbox_slows_the_service_down_until_something_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING_PARTS", 2)
    inbox = Inbox()

    def deliver() -> None:
        for number in range(5):
            inbox.put(number)

    thread = threading.Thread(target=deliver)
    thread.start()
    got: list[int] = []
    while len(got) < 5:
        parts = inbox.take(20.0)
        assert 0 < len(parts) <= 2
        got += parts
    thread.join(20)
    assert got == [0, 1, 2, 3, 4]


def test_a_closed_inbox_takes_nothing_and_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING_PARTS", 1)
    inbox = Inbox()
    inbox.put(1)
    thread = threading.Thread(target=inbox.put, args=(2,))
    thread.start()
    inbox.close()
    thread.join(20)
    assert not thread.is_alive()
    assert inbox.take() == []
    assert inbox.exhausted
    assert inbox.closed
