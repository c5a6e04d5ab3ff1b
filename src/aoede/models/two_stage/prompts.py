"""Trained columns in front of the frames: a voice learnt while the model itself stands still.

Owns the parameters and how they begin; `forward`, `log_probs` and `generate` of the model take what `inputs` gives.
Knows nothing of recordings, steps or files. Prompt tuning (vectors as long as a frame's): Lester et al. 2021, arXiv
2104.08691; prefix tuning (keys and values of every backbone layer): Li and Liang 2021, arXiv 2101.00190.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from aoede.models.two_stage.frames import entries
from aoede.models.two_stage.model import TwoStageModel

Kind = Literal["prompt", "prefix"]


class VoicePrefix(nn.Module):
    """P columns, either as vectors (`prompt`) or as keys and values of each layer (`prefix`)."""

    def __init__(self, vectors: Tensor | None = None, pairs: list[tuple[Tensor, Tensor]] | None = None) -> None:
        super().__init__()
        self.vectors = None if vectors is None else nn.Parameter(vectors.detach().float().clone())
        parts = [part for pair in pairs or [] for part in pair]
        self.parts = nn.ParameterList([nn.Parameter(part.detach().float().clone()) for part in parts])

    @classmethod
    @torch.no_grad()
    def from_frames(cls, model: TwoStageModel, frames: Tensor, kind: Kind, length: int) -> VoicePrefix:
        """Columns that begin as what the model makes of a recording of the voice.

        Args:
            frames: [F, S + 1], a turn that the voice speaks; its audio frames are taken at even steps, and again where
                there are fewer than `length`.
        Raises:
            ValueError: an unknown kind, a length below 1, frames without audio, a backbone without keys and values.
        """
        if kind not in ("prompt", "prefix"):
            raise ValueError(f"kind is {kind!r}; it is 'prompt' (vectors) or 'prefix' (keys and values)")
        if length < 1:
            raise ValueError(f"length is {length}; a prefix has 1 column or more")
        config: Any = model.config
        present = entries(frames[None], None, config)
        places = present[0, :, :-1].any(-1).nonzero()[:, 0]
        if len(places) == 0:
            raise ValueError("the frames to begin with have no audio")
        at = places[torch.linspace(0, len(places) - 1, length).round().long()]
        if kind == "prompt":
            return cls(vectors=model.embed(frames[None], present)[0, at])
        cache: Any = model(frames[None], use_cache=True, return_logits=False).past_key_values
        layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
        if len(layers) != config.num_hidden_layers:
            raise ValueError("prefix tuning needs keys and values in every backbone layer; take kind='prompt'")
        return cls(pairs=[(layer.keys[:, :, at], layer.values[:, :, at]) for layer in layers])

    @property
    def kind(self) -> Kind:
        return "prefix" if self.vectors is None else "prompt"

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def inputs(self) -> dict[str, Any]:
        """Arguments for the model: `prefix_embeds` [P, H], or `prefix_key_values`."""
        if self.vectors is not None:
            return {"prefix_embeds": self.vectors}
        return {"prefix_key_values": list(zip(self.parts[::2], self.parts[1::2], strict=True))}
