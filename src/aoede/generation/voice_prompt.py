"""Voice prompts: a voice learnt from minutes of audio as a file of kilobytes, put in front of every conversation.

Owns the file (safetensors: trained vectors, or keys and values of each backbone layer, a few weights of the model that
they belong to, and which voice that is) and its checks. Prompt tuning is Lester et al. 2021 (arXiv 2104.08691), prefix
tuning Li and Liang 2021 (arXiv 2101.00190). How prompts are trained is `training/`'s business.
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

from aoede.generation.voice_folder import bundled_voices, find_voice
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

    voice: str | None = None
    """The voice it was tuned on: the name of a bundled one, a repository of the hub, or the way from the file to its
    folder ("./" or "../" first). None: not said."""

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
        voice: str | None = None,
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
        made = cls(
            name=name,
            speaker=speaker,
            voice=voice,
            prefix_embeds=embeds,
            prefix_key_values=pairs,
            sample=sample_of(model),
        )
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
            other = "another model" + ("" if self.voice is None else f" ({self.voice})")
            raise ValueError(
                f"{where} was tuned on {other}: its vectors mean nothing to this one; name that voice beside it "
                "(--voice FOLDER --voice-prompt FILE), or tune it anew"
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file (a temporary name first); returns its path."""
        from safetensors.torch import save

        tensors = {"sample": self.sample}
        if self.prefix_embeds is not None:
            tensors["prefix_embeds"] = self.prefix_embeds
        for number, (keys, values) in enumerate(self.prefix_key_values or ()):
            tensors |= {f"keys.{number}": keys, f"values.{number}": values}
        given = {"speaker": self.speaker, "voice": self.voice}
        about = {"format": FORMAT, "name": self.name, **{k: value for k, value in given.items() if value is not None}}
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
                voice=about.get("voice"),
                prefix_embeds=tensors.get("prefix_embeds"),
                prefix_key_values=pairs or None,
                sample=tensors["sample"],
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is no whole voice prompt: {error}") from error


def voice_as_named(voice: str | os.PathLike[str], file: str | os.PathLike[str]) -> str:
    """What a prompt's file says of its voice: a bundled voice's name and a repository as they are, of a folder the way
    from the file, which holds where both are moved together and says nothing of the machine."""
    folder = Path(voice)
    if folder.is_dir():
        for name, bundled in bundled_voices().items():
            if folder.samefile(bundled):
                return name
        way = Path(os.path.relpath(folder.resolve(), Path(file).resolve().parent)).as_posix()
        return way if way.startswith("..") else f"./{way}"
    return os.fspath(voice)


def voice_of_file(file: str | os.PathLike[str]) -> Path:
    """The folder of the voice that a prompt's file says it was tuned on; of the bundled one where it says none.

    Raises:
        ValueError: no voice prompt, or its voice is not where it says (with how to name it).
    """
    try:
        prompt = VoicePrompt.load(file)
    except ValueError as error:
        raise ValueError(f"{error}; a voice is a folder, or a file of `aoede train voice-prompt`") from error
    named, way_out = prompt.voice, f"say where it is: --voice FOLDER --voice-prompt {file}"
    if named is not None and named.startswith("."):
        folder = Path(file).parent / named
        if not folder.is_dir():
            raise ValueError(f"{file} was tuned on the voice in {named} (seen from it), which is no folder; {way_out}")
        return folder
    try:
        return find_voice(named)
    except ValueError as error:
        said = "says no voice that it was tuned on" if named is None else f"was tuned on {named}"
        raise ValueError(f"{file} {said}, and {error}; {way_out}") from error


def sample_of(model: TwoStageModel) -> Tensor:
    """Weights [4, 16] of a model by which it is known again, whatever type it is stored in."""
    weight = model.slot0_head.weight
    assert isinstance(weight, Tensor)
    return _kept(weight[:_ROWS, :_COLUMNS])


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).clone()
