"""Dead codes: codebook entries nobody chooses, and how they come back.

Owns the running usage of every entry and the replacement of those that fell out of use by vectors the encoder really
emits. Training only. Knows nothing of losses or optimisers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aoede.codec.quantize import Quantized, ResidualQuantizer


class CodeRevival:
    """Keeps codebooks alive (Dhariwal et al. 2020, "Jukebox", section 3.1)."""

    def __init__(
        self,
        quantizer: ResidualQuantizer,
        *,
        every: int = 20,
        decay: float = 0.98,
        threshold: float = 0.1,
        trained: bool = False,
    ) -> None:
        """Every `every` steps, entries whose running share is below `threshold` of the mean share are replaced.

        The first `update` fills all codebooks, unless they are `trained`: then every entry begins as often chosen as
        the mean, and goes only when it stays unused.
        """
        if every < 1 or not 0.0 < decay < 1.0 or not 0.0 <= threshold < 1.0:
            raise ValueError(
                f"every={every}, decay={decay}, threshold={threshold}: every >= 1, 0 < decay, threshold < 1"
            )
        self.every, self.decay, self.threshold = every, decay, threshold
        self.steps = int(trained)
        self.replaced: list[Tensor] = []
        """Of the last `update`: one [size] mask a level, empty when nothing was due. For averages of the weights."""
        weights = [level.codebook.weight.detach() for level in quantizer.levels]
        self.usage = [torch.full_like(weight[:, 0], float(trained)) for weight in weights]
        # The newest vectors of each level, as many as it has entries: one batch alone would be too few to draw from.
        self.recent = [weight.new_zeros(0, weight.shape[1]) for weight in weights]

    @torch.no_grad()
    def observe(self, seen: Quantized) -> None:
        """Remembers what the levels looked up; call it before quantization begins, `update` does it by itself."""
        for index, projected in enumerate(seen.projected):
            vectors = projected.transpose(1, 2).reshape(-1, projected.shape[1])
            newest = torch.cat((self.recent[index], vectors))[-len(self.usage[index]) :]
            self.recent[index] = newest.clone()  # a view would carry the older ones into every checkpoint

    @torch.no_grad()
    def update(self, quantizer: ResidualQuantizer, seen: Quantized, generator: torch.Generator) -> int:
        """Counts one step and, when due, replaces; the first call fills every codebook that is not `trained`.

        Returns:
            The number of entries replaced.
        """
        self.observe(seen)
        self.replaced = []
        count = 0
        for index, level in enumerate(quantizer.levels):
            weight, usage = level.codebook.weight, self.usage[index]
            counts = torch.bincount(seen.codes[index].reshape(-1), minlength=weight.shape[0]).to(usage)
            usage.lerp_(counts / counts.sum() * weight.shape[0], 1.0 - self.decay)
            if self.steps == 0:
                dead = torch.ones_like(usage, dtype=torch.bool)
            elif self.steps % self.every == 0:
                dead = usage < self.threshold
            else:
                continue
            count += self._replace(weight, dead, self.recent[index], generator)
            self.replaced.append(dead)
            usage[dead] = 1.0  # as if chosen as often as the mean: time to be found
        self.steps += 1
        return count

    def _replace(self, weight: Tensor, dead: Tensor, vectors: Tensor, generator: torch.Generator) -> int:
        count = int(dead.sum())
        if count:
            # Each vector is drawn at most as often as it must be; copies differ a little, so that they can part.
            rounds = [torch.randperm(len(vectors), generator=generator) for _ in range(-(-count // len(vectors)))]
            chosen = torch.cat(rounds)[:count].to(vectors.device)
            spread = vectors.std(0, keepdim=True, correction=0)
            jitter = torch.randn(count, weight.shape[1], generator=generator).to(vectors) * spread * 0.02
            weight[dead] = vectors[chosen] + jitter
        return count

    def state_dict(self) -> dict[str, Any]:
        """Usage, recent vectors and step count."""
        return {"steps": self.steps, "usage": list(self.usage), "recent": list(self.recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self.steps = state["steps"]
        self.recent = [saved.to(mine.device) for mine, saved in zip(self.usage, state["recent"], strict=True)]
        for mine, saved in zip(self.usage, state["usage"], strict=True):
            mine.copy_(saved)


def code_statistics(codes: Tensor, codebook_size: int) -> tuple[float, float]:
    """Of one level's codes: the share of entries used at all, and the perplexity of their distribution."""
    counts = torch.bincount(codes.reshape(-1), minlength=codebook_size).double()
    shares = counts[counts > 0] / counts.sum()
    return float((counts > 0).sum()) / codebook_size, float(torch.exp(-(shares * shares.log()).sum()))
