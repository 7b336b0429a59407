"""The network: two log-mel frames in, the mouth some time ago out, sixty times a second."""

from __future__ import annotations

import torch
from torch import nn

from facewave.features.log_mel import N_MELS
from facewave.providers.embedded.articulation import CLASSES, PARAMETERS
from training import gru

STEP_HZ = 60
LOOK_AHEAD_STEPS = (3, 6)
"""The heads: each describes the mouth this many steps before the end of what has been heard (50 and 100 ms)."""

N_INPUTS = 2 * N_MELS
LAYERS = 2
TAPS = 3
"""The heads read the last so many outputs of the upper layer, so that they can weigh what they said of the same moment
one and two steps before: curves become steadier without waiting for more sound."""

STATE_ROWS = LAYERS + TAPS - 2
"""Of the state: the layers, lowest first, then older outputs of the upper layer, newest first. Its newest output is
the upper layer's own row."""

REST_POWER = 4.0
"""The mouth is held at rest by the probability of silence to this power: hardly at all where speech is likely, fully
where silence is certain. A gate that opens between two thresholds makes the lips jump where it does."""

_SILENT = CLASSES.index("sil")
_CLOSE, _FV = PARAMETERS.index("close"), PARAMETERS.index("fv")
_CLOSING = [CLASSES.index("pb"), CLASSES.index("m")]
_BITING = [CLASSES.index("fv")]


class Network(nn.Module):
    """Normalisation, a small layer, two GRU layers, and for each head a linear map of the last `TAPS` outputs to
    articulation and phone classes.

    All state between calls is the tensor that goes in and comes out.
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
        self.articulation = nn.Linear(TAPS * hidden, len(LOOK_AHEAD_STEPS) * len(PARAMETERS))
        self.phones = nn.Linear(TAPS * hidden, len(LOOK_AHEAD_STEPS) * len(CLASSES))

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over steps.

        Args:
            features: Shape (batch, steps, 128), log-mel.
            state: Shape (STATE_ROWS, batch, hidden); zeros at the start of a stream.

        Returns:
            Articulation (batch, steps, heads, 12) in (0, 1), class logits (batch, steps, heads, 24), and the new state.
        """
        batch, steps = features.shape[0], features.shape[1]
        x = torch.relu(self.front((features - self.mean) * self.scale))
        layers = state[:LAYERS].contiguous()
        x, layers = gru.run(self.gru, x, layers) if torch.is_grad_enabled() else self.gru(x, layers)
        before = torch.flip(state[LAYERS - 1 :], (0,)).transpose(0, 1)  # oldest first
        x = torch.cat((before, x), dim=1)
        state = torch.cat((layers, torch.flip(x[:, steps : steps + TAPS - 2], (1,)).transpose(0, 1)))
        x = torch.cat([x[:, TAPS - 1 - tap : TAPS - 1 - tap + steps] for tap in range(TAPS)], dim=2)
        mouth = torch.sigmoid(self.articulation(x)).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(PARAMETERS))
        logits = self.phones(x).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(CLASSES))
        return mouth, logits, state

    def start(self, batch: int) -> torch.Tensor:
        """The state of a stream that has heard nothing."""
        return torch.zeros(STATE_ROWS, batch, self.hidden)


class Calibrated(nn.Module):
    """The shipped graph: the network, then the calibration that was fitted on held-out speech.

    Training by squared error makes curves that are right on average and too small where the sound is unclear. So each
    curve gets a gain and an offset; the two gestures that must be complete also listen to the phone classes; and where
    the classes say silence, the mouth rests.
    """

    gain: torch.Tensor
    offset: torch.Tensor
    evidence: torch.Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        heads, n = len(LOOK_AHEAD_STEPS), len(PARAMETERS)
        self.register_buffer("gain", torch.ones(heads, n))
        self.register_buffer("offset", torch.zeros(heads, n))
        self.register_buffer("evidence", torch.zeros(heads, 2))
        """How much of the class probability is added to the raw closure and labiodental curves."""

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `Network.forward`, with calibrated articulation and class probabilities."""
        mouth, logits, state = self.network(features, state)
        phones = torch.softmax(logits, dim=-1)
        return self.calibrated(mouth, phones), phones, state

    def calibrated(self, mouth: torch.Tensor, phones: torch.Tensor) -> torch.Tensor:
        """Apply the calibration to raw articulation (..., heads, 12), given class probabilities (..., heads, 24)."""
        closing = phones[..., _CLOSING].sum(-1) * self.evidence[:, 0]
        biting = phones[..., _BITING].sum(-1) * self.evidence[:, 1]
        parts = list(mouth.unbind(-1))
        parts[_CLOSE] = parts[_CLOSE] + closing
        parts[_FV] = parts[_FV] + biting
        raised = torch.stack(parts, dim=-1)
        awake = 1 - phones[..., _SILENT].pow(REST_POWER)
        return ((raised - self.offset) * self.gain).clamp(0, 1) * awake[..., None]
