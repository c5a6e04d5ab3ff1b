"""Training that begins from a voice: what it knows goes to where the new run looks for it.

Owns reading a flat voice's model for training, and the move of embedding and head rows: text rows by token, markers and
codes by what they mean. Knows nothing of clips, batches or updates; the new run's tokenizer is `speech_data.py`'s.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from aoede.codec import Snac
from aoede.generation import VoiceSettings, find_voice
from aoede.models import CodecCausalLM, draw_rows
from aoede.models.extend import codec_model, replace_rows
from aoede.tokens import CodecVocabulary
from aoede.tokens.vocabulary import FILE_NAME


@dataclass(frozen=True, kw_only=True)
class StartingVoice:
    """A flat voice that a run begins from."""

    name: str
    """As the recipe says it."""

    folder: Path
    settings: VoiceSettings
    vocabulary: CodecVocabulary
    tokens: dict[str, int]
    """Token -> id, of its tokenizer."""

    codec: Snac

    @classmethod
    def load(cls, source: str) -> "StartingVoice":
        """Read all but the weights.

        Args:
            source: a voice folder, the name of a bundled voice, or a repository on the model hub.
        Raises:
            ValueError: no voice, or one that is not flat.
        """
        folder = find_voice(source)
        settings = VoiceSettings.load(folder)
        if settings.kind != "flat":
            raise ValueError(
                f"model.init is {source}, a {settings.kind} voice; `aoede train speech` goes on with flat ones "
                "(`aoede train two-stage` takes it as model.base)"
            )
        vocabulary = CodecVocabulary.load(folder / "model" / FILE_NAME)
        if vocabulary.ranges_per != "level":
            raise ValueError(f"model.init is {source}, which has a range a slot; only voices with one a level train on")
        tokens: dict[str, int] = AutoTokenizer.from_pretrained(folder / "model").get_vocab()
        return cls(
            name=source,
            folder=folder,
            settings=settings,
            vocabulary=vocabulary,
            tokens={token: row for token, row in tokens.items() if row < vocabulary.text_size},
            codec=Snac.from_pretrained(folder / "codec"),
        )

    @property
    def model_folder(self) -> str:
        """Where weights and tokenizer are."""
        return str(self.folder / "model")

    def check_codec(self, codec: Snac, where: str) -> None:
        """Raises ValueError unless codes of `codec`, read from `where`, mean what this voice's do."""
        own, given = self.codec.fingerprint(), codec.fingerprint()
        if own != given:
            raise ValueError(
                f"model.init is {self.name}, which writes codes of codec {own}; data.codec is {where}, {given}: codes "
                f"mean nothing to another codec. Leave data.codec out, and prepare the recordings with "
                f"--codec {self.folder / 'codec'}"
            )

    def model(
        self,
        vocabulary: CodecVocabulary,
        tokens: dict[str, int],
        *,
        speakers: Collection[str] = (),
        pad_id: int | None = None,
        text_stride: float | None = None,
        seed: int = 0,
    ) -> CodecCausalLM:
        """The voice's model in float32, with the rows of another vocabulary.

        A text row goes where its token stands in `tokens`; markers and codes go to their ids. A new speaker's row is
        the mean of the voice's speakers, other new rows are drawn from the distribution of its text rows.

        Args:
            vocabulary: of the new run; same layout and codebook sizes.
            tokens: token -> id, of the new run's tokenizer.
            speakers: tokens among them that name speakers.
            text_stride: the mean pace of the new clips; None where positions are ordinary ones.
            seed: of the rows that are drawn.
        Raises:
            ValueError: another layout, other codebooks, or positions of the other kind.
        """
        old = self.vocabulary
        if (str(old.layout), old.codebook_sizes) != (str(vocabulary.layout), vocabulary.codebook_sizes):
            raise ValueError(
                f"model.init is {self.name}, with frames {old.layout} of {old.codebook_sizes} codes; the run has "
                f"{vocabulary.layout} of {vocabulary.codebook_sizes}: leave data.layout out, which takes the voice's"
            )
        model = CodecCausalLM.from_pretrained(self.model_folder, dtype=torch.float32)
        _check_positions(self.name, model.config.text_stride, text_stride)
        source = self._sources(vocabulary, tokens)
        means = torch.zeros(vocabulary.size, dtype=torch.bool)
        means[[tokens[token] for token in speakers]] = True
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        tied = head.weight is embedding.weight
        generator = torch.Generator().manual_seed(seed)
        replace_rows(
            embedding,
            head,
            lambda weight: self._moved(weight, source, means, generator),
            lambda bias: nn.Parameter(torch.where(source >= 0, bias[source.clamp(min=0)], bias.mean()).detach()),
        )
        text_config = model.config.text_config
        text_config.bos_token_id, text_config.pad_token_id = model.config.bos_token_id, pad_id
        return codec_model(model.model, head, text_config, vocabulary, tied=tied, text_stride=text_stride)

    def describe(self, tokens: dict[str, int]) -> str:
        """What of a run's tokens the voice knows, for a person."""
        new = sorted(tokens.keys() - self.tokens.keys(), key=tokens.__getitem__)
        listed = ", ".join(map(repr, new[:12])) + (f" and {len(new) - 12} more" if len(new) > 12 else "")
        return f"begins from {self.name}: it knows {len(tokens) - len(new):,} of {len(tokens):,} text tokens" + (
            f"; new: {listed}" if new else ""
        )

    def _sources(self, vocabulary: CodecVocabulary, tokens: dict[str, int]) -> Tensor:
        """The voice's row for each row of `vocabulary`: [V] int64, -1 where it has none."""
        old = self.vocabulary
        source = torch.full((vocabulary.size,), -1)
        # Rows without a token (a text model's padding) stay where they are.
        spare = [i for i in set(range(vocabulary.text_size)) - set(tokens.values()) if i < old.text_size]
        source[spare] = torch.tensor(spare, dtype=torch.int64)
        for token, row in tokens.items():
            source[row] = self.tokens.get(token, -1)
        source[vocabulary.open_id], source[vocabulary.close_id] = old.open_id, old.close_id
        for slot in range(vocabulary.num_slots):
            to, of = vocabulary.range_of(slot), old.range_of(slot)
            source[to.start : to.stop] = torch.arange(of.start, of.stop)
        return source

    @torch.no_grad()
    def _moved(self, weight: Tensor, source: Tensor, means: Tensor, generator: torch.Generator) -> nn.Parameter:
        """Rows of `weight` [V_old, H] at `source` [V]; new ones are means of speakers (`means` [V]) or drawn."""
        moved = weight[source.clamp(min=0)].clone()
        new = source < 0
        if new.any():
            moved[new] = draw_rows(weight[sorted(set(self.tokens.values()))], int(new.sum()), generator)
        name = self.settings.text.speaker_token
        own = [self.tokens[t] for s in self.settings.speakers if (t := name.format(speaker=s)) in self.tokens]
        if own:
            moved[new & means] = weight[own].mean(0)
        return nn.Parameter(moved)


def _check_positions(name: str, had: float | None, wanted: float | None) -> None:
    if had is not None and wanted is None:
        raise ValueError(
            f"model.init is {name}, which learned with parallel positions; the recipe has none: "
            "add text_stride: {jitter: 0.1}"
        )
    if had is None and wanted is not None:
        raise ValueError(
            f"model.init is {name}, which learned with ordinary positions; the recipe asks for parallel ones: "
            "leave text_stride out"
        )
