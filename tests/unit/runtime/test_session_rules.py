"""The rules of sessions as a state machine: whatever the order of calls, the runtime agrees with a small model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from facewave.runtime.delivery import Delivery
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Stepped
from facewave.settings import FacewaveSettings
from tests.unit.runtime.parts import Recorder, ScriptedProvider, ramp_audio

LENGTHS = st.sampled_from([0.0, 0.02, 0.3, 2.0])


class SessionRules(RuleBasedStateMachine):
    """One consumer; `state` is what the page of rules says it must be in."""

    @initialize()
    def begin(self) -> None:
        self.workers = Stepped()
        self.runtime = Runtime(FacewaveSettings(), workers=self.workers, idle_timeout_s=30.0)
        self.consumer, self.provider = Recorder(), ScriptedProvider()
        self.state = "none"  # none, open or swallowing
        self.clips = 0
        self.deliveries: list[Delivery] = []
        self.last_heard = 0.0

    @rule(seconds=LENGTHS, last=st.booleans())
    def send(self, seconds: float, last: bool) -> None:
        delivery = self.runtime.animate_samples(
            self.consumer, ramp_audio(seconds) if seconds else [0.0], end_of_samples=last, provider=self.provider
        )
        self.deliveries.append(delivery)
        if self.state == "swallowing":
            assert delivery.done
            assert not delivery.result()
        elif self.state == "none":
            self.clips += 1
        if last:
            self.state = "none"
        elif self.state == "none":
            self.state = "open"

    @rule()
    def end(self) -> None:
        delivery = self.runtime.end_samples(self.consumer)
        self.deliveries.append(delivery)
        if self.state != "open":
            assert not delivery.result()
        self.state = "none"

    @rule(seconds=st.sampled_from([0.02, 3.0]))
    def clip(self, seconds: float) -> None:
        self.deliveries.append(self.runtime.start_clip(self.consumer, ramp_audio(seconds), provider=self.provider))
        self.clips += 1
        self.state = "none"

    @rule()
    def cancel(self) -> None:
        found = self.runtime.cancel(self.consumer)
        if self.state == "open":
            assert found
            self.state = "swallowing"

    @rule()
    def free(self) -> None:
        self.runtime.free(self.provider)

    @rule(seconds=st.sampled_from([0.001, 0.05, 1.0]))
    def wait(self, seconds: float) -> None:
        self.workers.advance(seconds)

    @rule()
    def wait_for_the_timeout(self) -> None:
        self.workers.advance(120.0)
        if self.state == "open":
            self.state = "none"

    @invariant()
    def order_holds(self) -> None:
        if not hasattr(self, "consumer"):
            return
        assert not self.consumer.wrong
        assert not self.provider.freed_while_active
        assert len(self.consumer.endings) <= self.clips

    def teardown(self) -> None:
        if not hasattr(self, "runtime"):
            return
        self.runtime.close()
        self.workers.advance(1.0)
        assert len(self.consumer.endings) == self.clips, "every clip ended, once"
        assert self.provider.active == 0
        for delivery in self.deliveries:
            assert delivery.done
            delivery.result()


SessionRules.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestSessionRules = SessionRules.TestCase
