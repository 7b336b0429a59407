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
SHOWN = len(LOOK_AHEAD_STEPS) * len(PARAMETERS)
"""Numbers a step that are shown: each head's curves."""

LAYERS = 3
"""Of the recurrent part: two, one behind the other, and one that adds to what the second says."""

INERTIA = 0.3
"""Part of what was shown a step before that is kept: a mouth has mass, a network's opinion of a phone has none. It
comes 7 ms late for that; training asks for a mouth that is early (`train.LEAD_STEPS`)."""

_SILENT = CLASSES.index("sil")
_CLOSE, _FV = PARAMETERS.index("close"), PARAMETERS.index("fv")
_CLOSING = [CLASSES.index("pb"), CLASSES.index("m")]
_BITING = [CLASSES.index("fv")]


class Network(nn.Module):
    """Normalisation, a small layer, GRU layers, and for each head a linear map to articulation and phone classes.

    All state between calls is the hidden state that goes in and comes out. The last GRU layer begins with nothing to
    add, so that a network without it can grow into one that has it.

    Raises:
        ValueError: A row of the state could not hold what `Calibrated` shows.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, hidden: int, front: int) -> None:
        super().__init__()
        if hidden < SHOWN:
            raise ValueError(f"model.hidden: found {hidden}, expected at least {SHOWN}, to hold what is shown")
        self.hidden = hidden
        self.register_buffer("mean", torch.zeros(N_INPUTS))
        self.register_buffer("scale", torch.ones(N_INPUTS))
        self.front = nn.Linear(N_INPUTS, front)
        self.gru = nn.GRU(front, hidden, LAYERS - 1, batch_first=True)
        self.refine = nn.GRU(hidden, hidden, batch_first=True)
        with torch.no_grad():
            for parameter in self.refine.parameters():
                parameter[2 * hidden :] = 0  # the gate that says something new
        self.articulation = nn.Linear(hidden, len(LOOK_AHEAD_STEPS) * len(PARAMETERS))
        self.phones = nn.Linear(hidden, len(LOOK_AHEAD_STEPS) * len(CLASSES))

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over steps.

        Args:
            features: Shape (batch, steps, 128), log-mel.
            state: Shape (LAYERS, batch, hidden); zeros at the start of a stream.

        Returns:
            Articulation (batch, steps, heads, 12) in (0, 1), class logits (batch, steps, heads, 24), and the new state.
        """
        batch, steps = features.shape[0], features.shape[1]
        x = torch.relu(self.front((features - self.mean) * self.scale))
        run = gru.run if torch.is_grad_enabled() else nn.GRU.__call__
        x, heard = run(self.gru, x, state[:-1])
        more, refined = run(self.refine, x, state[-1:])
        x, state = x + more, torch.cat((heard, refined))
        mouth = torch.sigmoid(self.articulation(x)).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(PARAMETERS))
        logits = self.phones(x).reshape(batch, steps, len(LOOK_AHEAD_STEPS), len(CLASSES))
        return mouth, logits, state

    def start(self, batch: int) -> torch.Tensor:
        """The state of a stream that has heard nothing."""
        return torch.zeros(LAYERS, batch, self.hidden)


def grown(state: dict[str, torch.Tensor], network: Network) -> dict[str, torch.Tensor]:
    """The weights of a narrower network, or of one without `refine`, in a larger one, which then answers the same.

    The new units listen to everything, as `network` was made, and nothing listens to them yet.

    Source: Chen, Goodfellow and Shlens (2016), Net2Net: accelerating learning via knowledge transfer.
    """
    out = {name: value.clone() for name, value in network.state_dict().items()}
    for name, old in state.items():
        # A recurrent layer's tensors hold three gates one after the other; a bias has one column.
        gates = 3 if name.startswith(("gru", "refine")) else 1
        given = old.view(gates, len(old) // gates, -1)
        new = out[name].view(gates, len(out[name]) // gates, -1)
        new[:, : given.shape[1]] = 0
        new[:, : given.shape[1], : given.shape[2]] = given
    return out


class Calibrated(nn.Module):
    """The shipped graph: the network, then the calibration that was fitted on held-out speech.

    Training by squared error makes curves that are right on average and too small where the sound is unclear. So each
    curve gets a gain and an offset; the two gestures that must be complete also listen to the phone classes; and where
    the classes say silence, the mouth rests. What is shown follows that with some inertia; what was shown last is one
    more row of the state.
    """

    gain: torch.Tensor
    offset: torch.Tensor
    evidence: torch.Tensor
    rest: torch.Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        heads, n = len(LOOK_AHEAD_STEPS), len(PARAMETERS)
        self.register_buffer("gain", torch.ones(heads, n))
        self.register_buffer("offset", torch.zeros(heads, n))
        self.register_buffer("evidence", torch.zeros(heads, 2))
        """How much of the class probability is added to the raw closure and labiodental curves."""
        self.register_buffer("rest", torch.tensor([0.9, 0.995]).repeat(heads, 1))
        """Probabilities of silence at which the mouth begins to rest, and rests fully."""

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `Network.forward`, with calibrated articulation and class probabilities, and a state as from `start`."""
        mouth, logits, heard = self.network(features, state[:-1])
        phones = torch.softmax(logits, dim=-1)
        last, unused = state[-1, :, :SHOWN], state[-1, :, SHOWN:]
        shown = settled(self.calibrated(mouth, phones).flatten(2), last)
        row = torch.cat((shown[:, -1], unused), dim=1)
        return shown.reshape(mouth.shape), phones, torch.cat((heard, row[None]))

    def start(self, batch: int) -> torch.Tensor:
        """The state of a stream that has heard and shown nothing, shape (LAYERS + 1, batch, hidden)."""
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


def settled(curves: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Curves with `INERTIA`.

    Args:
        curves: Shape (batch, steps, curves).
        last: Shape (batch, curves): what was shown before the first step.
    """
    shown = []
    for wanted in curves.unbind(1):
        last = torch.lerp(wanted, last, INERTIA)
        shown.append(last)
    return torch.stack(shown, dim=1)
