"""The same GRU as `torch.nn.GRU`, about twice as fast to train on a CPU.

PyTorch's own backward pass adds to the weights' gradient at every time step. Here the steps only leave their gate
gradients behind, and one large matrix product at the end makes the weights' gradient of all of them.

Under `torch.autocast` the products are of its narrow numbers; states, gates and sums keep 32 bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def run(gru: nn.GRU, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `gru(x, state)` for a `batch_first` GRU with biases and one direction."""
    out = x.transpose(0, 1).contiguous()  # (steps, batch, inputs)
    last = []
    for layer in range(gru.num_layers):
        weights = [getattr(gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        out = _Layer.apply(out, state[layer], *weights)  # type: ignore[no-untyped-call]
        last.append(out[-1])
    return out.transpose(0, 1), torch.stack(last)


class _Layer(torch.autograd.Function):
    """One layer over all steps. Gates in PyTorch's order: reset, update, new."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        first: torch.Tensor,
        w_in: torch.Tensor,
        w_hidden: torch.Tensor,
        b_in: torch.Tensor,
        b_hidden: torch.Tensor,
    ) -> torch.Tensor:
        steps, batch, _ = x.shape
        size = w_hidden.shape[1]
        narrow = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else first.dtype
        ctx.x_dtype = x.dtype
        x, w_in, w_hidden = x.to(narrow), w_in.to(narrow), w_hidden.to(narrow)
        gates = (x.flatten(0, 1) @ w_in.t()).to(first.dtype).add_(b_in).view(steps, batch, 3 * size)
        gates[:, :, : 2 * size] += b_hidden[: 2 * size]
        hidden_new = gates.new_empty(steps, batch, size)  # the recurrent part of the new gate, before the reset
        states = gates.new_empty(steps + 1, batch, size)
        states[0] = first
        product = x.new_empty(batch, 3 * size)
        for t in range(steps):
            torch.mm(states[t].to(narrow), w_hidden.t(), out=product)
            both = gates[t, :, : 2 * size].add_(product[:, : 2 * size]).sigmoid_()
            torch.add(product[:, 2 * size :], b_hidden[2 * size :], out=hidden_new[t])
            new = gates[t, :, 2 * size :].addcmul_(both[:, :size], hidden_new[t]).tanh_()
            torch.lerp(new, states[t], both[:, size:], out=states[t + 1])
        ctx.save_for_backward(x, w_in, w_hidden, gates, hidden_new, states)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, w_in, w_hidden, gates, hidden_new, states = ctx.saved_tensors
        grad_out = grads[0]
        steps, batch, size = hidden_new.shape
        reset, update, new = gates.split(size, dim=2)
        before = states[:-1]
        # What does not depend on later steps is done for all steps at once.
        to_new = (1 - update) * (1 - new * new)
        to_update = (before - new) * update * (1 - update)
        to_reset = hidden_new * reset * (1 - reset)
        inner = x.new_empty(gates.shape)  # gradient at the recurrent product
        outer_new = torch.empty_like(hidden_new)  # gradient at the new gate's sum, where the input adds to it
        carried = torch.zeros_like(states[0])
        product = x.new_empty(batch, size)
        for t in range(steps - 1, -1, -1):
            carried += grad_out[t]
            torch.mul(carried, to_new[t], out=outer_new[t])
            row = inner[t]
            torch.mul(outer_new[t], to_reset[t], out=row[:, :size])
            torch.mul(carried, to_update[t], out=row[:, size : 2 * size])
            torch.mul(outer_new[t], reset[t], out=row[:, 2 * size :])
            torch.mm(row, w_hidden, out=product)
            carried.mul_(update[t]).add_(product)
        flat, exact = inner.flatten(0, 1), states.dtype
        grad_w_hidden, grad_b_hidden = flat.t() @ before.flatten(0, 1).to(x.dtype), flat.sum(0, dtype=exact)
        inner[:, :, 2 * size :] = outer_new
        grad_w_in, grad_b_in = flat.t() @ x.flatten(0, 1), flat.sum(0, dtype=exact)
        grad_x = (flat @ w_in).view_as(x).to(ctx.x_dtype)
        return grad_x, carried, grad_w_in.to(exact), grad_w_hidden.to(exact), grad_b_in, grad_b_hidden
