"""Forced alignment by the phone head of the bundled network, in any language."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....features.log_mel import log_mel
from ....inference.onnx import Network
from ....timing import SAMPLE_RATE
from .alignment import Alignment, with_silences
from .coarticulation import rules
from .pronounce import SIL, Phone
from .viterbi import viterbi

STEP_HZ = 60
SOFTEN = 0.1
"""Mixed into every frame's probabilities as an even share, so that one frame the network is sure about cannot veto."""

PAUSE_PENALTY = -2.0


class HeadAligner:
    """Times words by the class probabilities of an embedded network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._look_ahead = [int(samples) for samples in json.loads(network.metadata["look_ahead_samples"])]

    def log_probs(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log probability of each class at k / 60 s, shape (frames, 24), from the head that hears furthest ahead."""
        head = int(np.argmax(self._look_ahead))
        lead = self._look_ahead[head] * STEP_HZ // SAMPLE_RATE - 1
        n = -(-len(samples) * STEP_HZ // SAMPLE_RATE)
        steps = n + lead
        padded = np.pad(samples, (0, max(-(-steps * SAMPLE_RATE // STEP_HZ) + 1 - len(samples), 0)))
        features = log_mel(padded)[: 2 * steps].reshape(1, steps, -1)
        state = np.zeros([size if isinstance(size, int) else 1 for size in self._network.inputs["state"]], np.float32)
        (scores,) = self._network.run({"features": features, "state": state}, ["phones"])
        shares = scores[0, lead:, head].astype(np.float64)  # the network ends in a softmax
        return np.asarray(np.log((1 - SOFTEN) * shares + SOFTEN / shares.shape[1]), np.float32)

    def align(self, samples: NDArray[np.float32], words: Sequence[Sequence[str]]) -> Alignment:
        """Time the phones of words given as IPA symbols; silence may lie before, between and after words.

        Raises:
            TranscriptError: More phones than the recording can hold.
        """
        class_of = rules().class_of
        symbols = [symbol for word in words for symbol in word]
        log_probs = self.log_probs(samples)
        stretches, score = viterbi(
            log_probs,
            [[class_of[symbol] for symbol in word] for word in words],
            class_of[SIL],
            skip_penalty=PAUSE_PENALTY,
        )
        duration_s = len(samples) / SAMPLE_RATE
        phones: list[Phone] = []
        short = 0
        for first, stop, _, where in stretches:
            # Frame k is the instant k / 60 s, so a change lies half a frame before the first that shows it.
            start = max((first - 0.5) / STEP_HZ, 0.0)
            end = duration_s if stop == len(log_probs) else (stop - 0.5) / STEP_HZ
            phones.append((start, end, SIL if where < 0 else symbols[where]))
            short += where >= 0 and stop - first <= 2
        return Alignment(with_silences(phones, duration_s), score, short / max(len(symbols), 1))
