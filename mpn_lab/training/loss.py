"""The TD loss of whole trials replayed from their start, and the cross-entropy."""

from __future__ import annotations

from typing import Any, Literal, cast

import optree
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mpn_lab.checks import check_choice, check_int, check_number, show
from mpn_lab.replay.trials import TrialBatch

Backprop = Literal["full", "truncated", "checkpointed"]


def compute_td_loss_trial(
    mpn: nn.Module,
    target_mpn: nn.Module,
    trial_batch: TrialBatch,
    gamma: float,
    td_lambda: float = 0.0,
    *,
    backprop: Backprop = "full",
    chunk: int = 32,
) -> Float[Tensor, ""]:
    """Compute the Huber loss of the TD errors of a batch of whole trials.

    Both networks replay every trial from its start, so that their states (M_t) are computed with
    the current parameters at every step; no stored state is used. A batch of parts of trials
    contains the states from which they start (`TrialBatch.state`, `TrialBatch.burn_in`).

    Args:
        mpn: the online network, which is trained; maps obs [B, T, d] to (Q [B, T, A], state).
        target_mpn: the target network (van Hasselt et al. 2016, Double DQN: the online network
            chooses the next action, the target network evaluates it).
        trial_batch: the padded trials and the mask of their steps.
        gamma: discount factor per time step, 0 to 1.
        td_lambda: lambda of the lambda-returns, 0 (one-step targets) to 1; see `td_targets`.
        backprop, chunk: how the gradient is propagated back in time; see `unroll`.

    Returns:
        The mean over the trained steps; differentiable only in the parameters of `mpn`.

    Raises:
        ValueError: gamma or td_lambda is outside [0, 1], `backprop` or `chunk` is not allowed,
            the batch is not a TrialBatch, or the network lacks one of the actions.
    """
    check_number("gamma", gamma, 0, 1)
    check_number("td_lambda", td_lambda, 0, 1)
    check_choice("backprop", backprop, Backprop)
    check_int("chunk", chunk, 1)
    if not isinstance(trial_batch, TrialBatch):
        raise ValueError(
            f"trial_batch is {show(trial_batch)}; expected a TrialBatch, as a buffer samples it."
        )
    for name, network in (("mpn", mpn), ("target_mpn", target_mpn)):
        if not isinstance(network, nn.Module):
            raise ValueError(f"{name} is {show(network)}; expected a network.")
    obs, action, reward, terminated, mask = trial_batch[:5]
    for name, part in (("action", action), ("reward", reward), ("mask", mask)):
        if not isinstance(part, Tensor) or part.shape != obs.shape[:2]:
            raise ValueError(
                f"the batch's {name} is {show(part)}; expected a tensor {tuple(obs.shape[:2])}."
            )
    if action.dtype != torch.int64:
        raise ValueError(f"the batch's actions are of {action.dtype}; expected torch.int64.")
    q = unroll(mpn, obs, start_state(mpn, trial_batch), backprop, chunk)  # (B, T, A)
    if action.numel() and not 0 <= int(action.min()) <= int(action.max()) < q.shape[2]:
        wrong = int(action.min()) if int(action.min()) < 0 else int(action.max())
        raise ValueError(
            f"a trial has the action {wrong}, but the network has {q.shape[2]} actions."
        )
    with torch.no_grad():
        q_target, _ = target_mpn(obs, start_state(target_mpn, trial_batch))  # (B, T, A)
        if q_target.shape != q.shape:
            raise ValueError(
                f"the target network has {q_target.shape[2]} actions and the network {q.shape[2]}; "
                "expected a copy of the network."
            )
        greedy = q.argmax(2, keepdim=True)  # (B, T, 1)
        value = q_target.gather(2, greedy).squeeze(2)  # (B, T)
        cut = trial_batch.cut
        target = td_targets(value, reward, terminated, mask, gamma, td_lambda, cut)  # (B, T)
        # The future of the last step of a truncated trial is unknown: that step is not trained.
        trained = mask & (terminated | _next(mask, False))
        trained = trained if cut is None else trained & ~cut
    chosen = q.gather(2, action.unsqueeze(2)).squeeze(2)  # (B, T)
    loss = nn.functional.huber_loss(chosen, target, reduction="none")  # (B, T)
    return (loss * trained).sum() / trained.sum().clamp(min=1)


def unroll(
    network: nn.Module,
    obs: Float[Tensor, "B T d"],
    state: Any = None,
    backprop: Backprop = "full",
    chunk: int = 32,
) -> Float[Tensor, "B T A"]:
    """Compute Q at every step, with a choice of how the gradient is propagated back in time.

    - "full": through all steps.
    - "checkpointed": the same gradient; only every `chunk`-th state is stored, and the steps in
      between are recomputed in the backward pass (`torch.utils.checkpoint`).
    - "truncated": the state is detached every `chunk` steps, so that no gradient passes from one
      chunk to another: storing something in one chunk and using it in another earns no credit.

    Args:
        network: maps obs [B, T, d] and a state to (Q [B, T, A], state).
        state: the state at the start of each row; None: M_0.
        backprop: "full", "checkpointed" or "truncated".
        chunk: length of a chunk in steps.
    """
    if backprop == "full":
        return network(obs, state)[0]
    parts = []
    for part in obs.split(chunk, 1):
        if backprop == "checkpointed":
            q, state = checkpoint(network, part, state, use_reentrant=False)
        else:
            q, state = network(part, state)
            state = optree.tree_map(Tensor.detach, state)
        parts.append(q)
    return torch.cat(parts, 1)


@torch.no_grad()
def start_state(network: nn.Module, batch: TrialBatch) -> Any:
    """Compute the state at the first trained step of each row, after its burn-in under `network`.

    No gradient passes through it: as in R2D2 (Kapturowski et al., ICLR 2019), the burn-in only
    produces a state.
    """
    if batch.burn_in is None or batch.burn_in_length is None or batch.burn_in.shape[1] == 0:
        return batch.state
    length = batch.burn_in_length  # (B,)
    _, _, activity = network(batch.burn_in, batch.state, return_states=True)
    start = batch.state
    if start is None:
        start = cast(Any, network).initial_state(len(length))
    rows = torch.arange(len(length), device=length.device)

    def after(start: Tensor, steps: Tensor) -> Tensor:
        last = steps[rows, (length - 1).clamp(min=0)]  # (B, ...)
        return torch.where((length > 0).view(-1, *[1] * (last.dim() - 1)), last, start)

    return optree.tree_map(after, start, activity.states)


def td_targets(
    value: Float[Tensor, "B T"],
    reward: Float[Tensor, "B T"],
    terminated: Bool[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    gamma: float,
    td_lambda: float,
    cut: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T"]:
    """Compute the lambda-returns of Peng & Williams (1996) of whole trials, backwards from the end.

        G_t = r_t + gamma [(1 - lambda) V_{t+1} + lambda G_{t+1}]

    with G = r at a trial's end. lambda = 0 gives the one-step target, lambda = 1 the discounted sum
    of the subsequent rewards. At the last step of a truncated trial, G = V.

    Args:
        value: V_t, the target network's value of the greedy action.
        reward, terminated, mask: as in the batch.
        gamma, td_lambda: 0 to 1.
        cut: as in the batch: where a truncated trial ends before the row does.
    """
    last = terminated | ~_next(mask, False)  # (B, T), last step of its trial
    last = last if cut is None else last | cut
    known = torch.where(terminated, reward, value)
    follow = reward + gamma * (1 - td_lambda) * _next(value, 0.0)
    a = torch.where(last, known, follow).T.contiguous()  # (T, B)
    b = torch.where(last, 0.0, gamma * td_lambda).T.contiguous()
    a_t, b_t = a.unbind(), b.unbind()  # all at once: indexing in the loop costs more than the sums
    for t in range(len(a_t) - 2, -1, -1):
        a_t[t].addcmul_(b_t[t], a_t[t + 1])  # G_t = a_t + b_t G_{t+1}, in place of a_t
    return a.T


def _next(x: Tensor, last: bool | float) -> Tensor:
    """Shift x by one step: x_{t+1} at t, and `last` at the end."""
    return torch.cat([x[:, 1:], torch.full_like(x[:, :1], last)], 1)


def compute_cross_entropy(
    logits: Float[Tensor, "B T A"], truth: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Compute the mean of -log softmax(y_t)[truth_t] over the masked steps; 0 if there are none."""
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none")
    return (loss * mask.flatten()).sum() / mask.sum().clamp(min=1)
