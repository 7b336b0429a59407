"""The network: two log-mel frames in, the mouth some time ago out, sixty times a second."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facewave.features.log_mel import N_MELS
from facewave.providers.embedded.articulation import CLASSES, PARAMETERS
from training import gru

STEP_HZ = 60
LOOK_AHEAD_STEPS = (3, 6)
"""What the shipped graph shows lies this many steps before the end of what has been heard (50 and 100 ms)."""

SMOOTHER_STEPS = 1
KEPT = 0.5
"""Each step shows the mean of what was shown before and what is heard now, so that the mouth does not tremble. Such a
smoother is one step late."""

HEARD_STEPS = tuple(ahead - SMOOTHER_STEPS for ahead in LOOK_AHEAD_STEPS)
"""The heads: each describes the mouth this many steps before the end of what has been heard, sooner than is shown."""

N_INPUTS = 2 * N_MELS
LAYERS = 2
SPARE = len(LOOK_AHEAD_STEPS) * (len(PARAMETERS) + len(CLASSES))
"""Numbers the smoother keeps from step to step: the curves that were shown, and the class probabilities."""

_REACH = 16
"""Steps after which the smoother has forgotten all but 1/65536."""

_SILENT = CLASSES.index("sil")
_CLOSE, _FV = PARAMETERS.index("close"), PARAMETERS.index("fv")
_CLOSING = [CLASSES.index("pb"), CLASSES.index("m")]
_BITING = [CLASSES.index("fv")]


class Network(nn.Module):
    """Normalisation, a small layer, two GRU layers, and for each head a linear map to articulation and phone classes.

    All state between calls is the hidden state that goes in and comes out.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, hidden: int, front: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.register_buffer("mean", torch.zeros(N_INPUTS))
        self.register_buffer("scale", torch.ones(N_INPUTS))
        self.front = nn.Linear(N_INPUTS, front)
        self.gru = nn.GRU(front, hidden, LAYERS, batch_first=True)
        self.articulation = nn.Linear(hidden, len(LOOK_AHEAD_STEPS) * len(PARAMETERS))
        self.phones = nn.Linear(hidden, len(LOOK_AHEAD_STEPS) * len(CLASSES))

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over steps.

        Args:
            features: Shape (batch, steps, 128), log-mel.
            state: Shape (LAYERS, batch, hidden); zeros at the start of a stream.

        Returns:
            Articulation (batch, steps, heads, 12) in (0, 1), class logits (batch, steps, heads, 24), of `HEARD_STEPS`
            ago, and the new state.
        """
        batch, steps = features.shape[0], features.shape[1]
        x = torch.relu(self.front((features - self.mean) * self.scale))
        x, state = gru.run(self.gru, x, state) if torch.is_grad_enabled() else self.gru(x, state)
        mouth = torch.sigmoid(self.articulation(x)).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(PARAMETERS))
        logits = self.phones(x).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(CLASSES))
        return mouth, logits, state

    def start(self, batch: int) -> torch.Tensor:
        """The state of a stream that has heard nothing."""
        return torch.zeros(LAYERS, batch, self.hidden)


class Calibrated(nn.Module):
    """The shipped graph: the network, the calibration that was fitted on held-out speech, and the smoother.

    Training by squared error makes curves that are right on average and too small where the sound is unclear. So each
    curve gets a gain and an offset; the two gestures that must be complete also listen to the phone classes; and where
    the classes say silence, the mouth rests.
    """

    gain: torch.Tensor
    offset: torch.Tensor
    evidence: torch.Tensor
    rest: torch.Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.hidden < SPARE:
            raise ValueError(f"hidden: found {network.hidden}, expected {SPARE} or more, for the smoother's state")
        self.network = network
        heads, n = len(LOOK_AHEAD_STEPS), len(PARAMETERS)
        self.register_buffer("gain", torch.ones(heads, n))
        self.register_buffer("offset", torch.zeros(heads, n))
        self.register_buffer("evidence", torch.zeros(heads, 2))
        """How much of the class probability is added to the raw closure and labiodental curves."""
        self.register_buffer("rest", torch.tensor([0.9, 0.995]).repeat(heads, 1))
        """Probabilities of silence at which the mouth begins to rest, and rests fully."""

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over steps.

        Args:
            features: Shape (batch, steps, 128), log-mel.
            state: Shape (LAYERS + 1, batch, hidden): that of the network, and of the smoother; zeros at first.

        Returns:
            Articulation (batch, steps, heads, 12) and class probabilities (batch, steps, heads, 24), of
            `LOOK_AHEAD_STEPS` ago, and the new state.
        """
        mouth, logits, recurrent = self.network(features, state[:LAYERS])
        phones = torch.softmax(logits, dim=-1)
        n = mouth[0, 0].numel()
        shown, last = [], state[LAYERS, :, :n].reshape(mouth[:, 0].shape)
        for curves in self.calibrated(mouth, phones).unbind(1):
            last = KEPT * last + (1 - KEPT) * curves
            shown.append(last)
        before = state[LAYERS, :, n:SPARE].reshape(phones[:, :1].shape)
        kept = torch.cat([last.flatten(1), phones[:, -1].flatten(1)], dim=1)
        kept = nn.functional.pad(kept, (0, self.network.hidden - SPARE))
        delayed = torch.cat([before, phones[:, :-1]], dim=1)
        return torch.stack(shown, dim=1), delayed, torch.cat([recurrent, kept[None]])

    def start(self, batch: int) -> torch.Tensor:
        """The state of a stream that has heard nothing."""
        return torch.zeros(LAYERS + 1, batch, self.network.hidden)

    def calibrated(self, mouth: torch.Tensor, phones: torch.Tensor) -> torch.Tensor:
        """Apply the calibration to raw articulation (..., heads, 12), given class probabilities (..., heads, 24)."""
        closing = phones[..., _CLOSING].sum(-1) * self.evidence[:, 0]
        biting = phones[..., _BITING].sum(-1) * self.evidence[:, 1]
        parts = list(mouth.unbind(-1))
        parts[_CLOSE] = parts[_CLOSE] + closing
        parts[_FV] = parts[_FV] + biting
        raised = torch.stack(parts, dim=-1)
        silent = phones[..., _SILENT]
        awake = 1 - ((silent - self.rest[:, 0]) / (self.rest[:, 1] - self.rest[:, 0])).clamp(0, 1)
        return ((raised - self.offset) * self.gain).clamp(0, 1) * awake[..., None]


def smoothed(curves: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the smoother makes of curves, shape (steps, ...), moved back by the step it is late."""
    weights = (1 - KEPT) * KEPT ** np.arange(_REACH)
    quiet = np.zeros((_REACH - 1, *curves.shape[1:]), np.float32)
    padded = np.concatenate([quiet, curves, curves[-1:]])
    parts = [weight * padded[_REACH - k :][: len(curves)] for k, weight in enumerate(weights)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float32)
