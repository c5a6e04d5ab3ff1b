"""Voice prompts: a voice learnt from minutes of audio as a file of kilobytes, put in front of every conversation.

Owns the file (safetensors: trained vectors, or keys and values of each backbone layer, and a few weights of the model
that they belong to) and its checks. Prompt tuning is Lester et al. 2021 (arXiv 2104.08691), prefix tuning Li and Liang
2021 (arXiv 2101.00190). How prompts are trained is `training/`'s business.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aoede.models import TwoStageModel

FORMAT = "aoede voice prompt 1"
_ROWS, _COLUMNS = 4, 16


@dataclass(frozen=True, kw_only=True, eq=False)
class VoicePrompt:
    """What a two-stage model reads before anything else; make one with `VoicePrompt.of`, or `load` a file."""

    name: str
    """Shown to people."""

    speaker: str | None
    """The name that turns were written with in tuning; None: without a name."""

    prefix_embeds: Tensor | None = None
    """[P, H] vectors in front of the frames (prompt tuning), or None."""

    prefix_key_values: tuple[tuple[Tensor, Tensor], ...] | None = None
    """Keys and values [1, heads, P, width] of each backbone layer (prefix tuning), or None."""

    sample: Tensor
    """Some weights of the model that the prompt was tuned on."""

    def __post_init__(self) -> None:
        if (self.prefix_embeds is None) == (self.prefix_key_values is None):
            raise ValueError("a voice prompt has either prefix_embeds or prefix_key_values; give one of them")

    @classmethod
    def of(
        cls,
        model: TwoStageModel,
        *,
        name: str,
        speaker: str | None = None,
        prefix_embeds: Tensor | None = None,
        prefix_key_values: Sequence[tuple[Tensor, Tensor]] | None = None,
    ) -> VoicePrompt:
        """The prompt that was tuned on a model.

        Raises:
            ValueError: both or none of the two kinds, or tensors that do not fit the model.
        """
        pairs = None
        if prefix_key_values is not None:
            pairs = tuple((_kept(keys), _kept(values)) for keys, values in prefix_key_values)
        embeds = None if prefix_embeds is None else _kept(prefix_embeds)
        made = cls(name=name, speaker=speaker, prefix_embeds=embeds, prefix_key_values=pairs, sample=sample_of(model))
        made.check(model)
        return made

    @property
    def length(self) -> int:
        """Places that it takes before the first frame, P."""
        if self.prefix_embeds is not None:
            return int(self.prefix_embeds.shape[0])
        assert self.prefix_key_values is not None
        return int(self.prefix_key_values[0][0].shape[2])

    def check(self, model: TwoStageModel, where: str = "the voice prompt") -> None:
        """Raises ValueError unless the prompt was tuned on this model (names what does not fit)."""
        width = model.config.hidden_size
        if self.prefix_embeds is not None:
            if self.prefix_embeds.ndim != 2 or self.prefix_embeds.shape[1] != width:
                raise ValueError(f"{where} is {list(self.prefix_embeds.shape)}, this model takes [P, {width}]")
        else:
            assert self.prefix_key_values is not None
            layers = model.config.num_hidden_layers
            if len(self.prefix_key_values) != layers:
                raise ValueError(f"{where} is for {len(self.prefix_key_values)} layers, this model has {layers}")
            backbone = model.config.backbone
            heads = int(getattr(backbone, "num_key_value_heads", None) or backbone.num_attention_heads)
            size = int(getattr(backbone, "head_dim", None) or backbone.hidden_size // backbone.num_attention_heads)
            for pair in self.prefix_key_values:
                for part in pair:
                    if part.ndim != 4 or part.shape[0] != 1 or (part.shape[1], part.shape[3]) != (heads, size):
                        raise ValueError(
                            f"{where} has keys or values {list(part.shape)}, this model takes [1, {heads}, P, {size}]"
                        )
        # A model is often stored in half precision: equal to three digits is equal.
        there = sample_of(model)
        if there.shape != self.sample.shape or not torch.allclose(there, self.sample, rtol=0.02, atol=1e-3):
            raise ValueError(f"{where} was tuned on another model: its vectors mean nothing to this one; tune it anew")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file (a temporary name first); returns its path."""
        from safetensors.torch import save

        tensors = {"sample": self.sample}
        if self.prefix_embeds is not None:
            tensors["prefix_embeds"] = self.prefix_embeds
        for number, (keys, values) in enumerate(self.prefix_key_values or ()):
            tensors |= {f"keys.{number}": keys, f"values.{number}": values}
        about = {"format": FORMAT, "name": self.name, **({} if self.speaker is None else {"speaker": self.speaker})}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}, about))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VoicePrompt:
        """Read a file.

        Raises:
            ValueError: no such file, or no voice prompt.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such file; a voice prompt is what `aoede train voice-prompt` writes")
        try:
            with safe_open(path, framework="pt") as file:
                about: dict[str, str] = file.metadata() or {}
                tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is no voice prompt: {error}") from error
        if about.get("format") != FORMAT:
            raise ValueError(
                f"{path} is no voice prompt: its format is {about.get('format')!r}, this Aoede reads {FORMAT!r}"
            )
        count = sum(name.startswith("keys.") for name in tensors)
        try:
            pairs = tuple((tensors[f"keys.{number}"], tensors[f"values.{number}"]) for number in range(count))
            return cls(
                name=about.get("name", path.stem),
                speaker=about.get("speaker"),
                prefix_embeds=tensors.get("prefix_embeds"),
                prefix_key_values=pairs or None,
                sample=tensors["sample"],
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is no whole voice prompt: {error}") from error


def sample_of(model: TwoStageModel) -> Tensor:
    """Weights [4, 16] of a model by which it is known again, whatever type it is stored in."""
    weight = model.slot0_head.weight
    assert isinstance(weight, Tensor)
    return _kept(weight[:_ROWS, :_COLUMNS])


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).clone()
