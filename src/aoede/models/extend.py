"""Give a text model the rows of a codec vocabulary.

Owns the drawing of new rows and the check that the routed head reproduces the text model's own logits. Knows nothing
of training. New rows come from the normal distribution of the old ones, mu + z @ cholesky(cov + eps).T: seconds where
`resize_token_embeddings(mean_resizing=True)` takes many minutes, and not all nearly equal to the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from aoede.models.causal_lm import CodecCausalLM
from aoede.models.config import CodecLMConfig
from aoede.tokens.vocabulary import CodecVocabulary

CHUNK_ROWS = 8192


def extend(
    base: PreTrainedModel, vocabulary: CodecVocabulary, *, seed: int = 0, text_stride: float | None = None
) -> CodecCausalLM:
    """A codec language model from a text model.

    The base's modules are taken over, not copied: do not go on using `base`.

    Args:
        base: a causal LM with `vocabulary.text_size` rows or fewer (missing text rows, for tokens added to the
            tokenizer, are drawn like codec rows), or with all rows of the vocabulary, which then are kept.
        vocabulary: whose ids the model shall speak.
        seed: of the new rows.
        text_stride: parallel positions by default (see `CodecLMConfig`).
    Raises:
        ValueError: rows that fit neither way, or a text model whose logits the routed head cannot reproduce.
    """
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    if not isinstance(embedding, nn.Embedding) or not isinstance(head, nn.Linear):
        raise ValueError(f"{type(base).__name__} has no plain embedding and linear head; extend takes causal LMs")
    rows = embedding.weight.shape[0]
    if vocabulary.text_size < rows < vocabulary.size:
        raise ValueError(
            f"the text model has {rows} rows, but the vocabulary's codec ids begin at {vocabulary.text_size}; "
            f"build the vocabulary with text_size={rows}"
        )
    tied = head.weight is embedding.weight
    wanted, probe = _probe(base, vocabulary, min(rows, vocabulary.text_size))
    if rows < vocabulary.size:
        generator = torch.Generator().manual_seed(seed)
        new = vocabulary.size - rows
        replace_rows(
            embedding,
            head,
            lambda weight: _grown(weight, draw_rows(weight, new, generator)),
            lambda bias: _grown(bias, bias.mean().expand(new)),
        )
    text_config = base.config.get_text_config()
    model = codec_model(base.base_model, head, text_config, vocabulary, tied=tied, text_stride=text_stride)
    model.train(base.training)
    _check(model, wanted, probe)
    return model


def replace_rows(
    embedding: nn.Embedding,
    head: nn.Linear,
    moved: Callable[[Tensor], nn.Parameter],
    moved_bias: Callable[[Tensor], nn.Parameter],
) -> None:
    """Give an embedding and a head other rows, in place; tied ones stay tied.

    Args:
        moved: old weight [V_old, H] -> new weight [V, H]; called for the embedding, then for a head of its own.
        moved_bias: old bias [V_old] -> new bias [V]; called where the head has one.
    """
    tied = head.weight is embedding.weight
    embedding.weight = moved(embedding.weight)
    head.weight = embedding.weight if tied else moved(head.weight)
    embedding.num_embeddings = head.out_features = embedding.weight.shape[0]
    if head.bias is not None:
        head.bias = moved_bias(head.bias)


def codec_model(
    backbone: nn.Module,
    head: nn.Linear,
    text_config: PretrainedConfig,
    vocabulary: CodecVocabulary,
    *,
    tied: bool,
    text_stride: float | None,
) -> CodecCausalLM:
    """A text model's modules, with a row for every id, as a codec language model; `text_config` is taken over."""
    text_config.vocab_size = head.out_features
    config = CodecLMConfig(
        text_config=text_config,
        vocabulary=vocabulary.to_dict(),
        text_stride=text_stride,
        tie_word_embeddings=tied,
        head_bias=head.bias is not None,
        dtype=head.weight.dtype,
    )
    for name in ("bos_token_id", "pad_token_id"):
        setattr(config, name, getattr(text_config, name, None))
    return CodecCausalLM(config, backbone=backbone, lm_head=head)


@torch.no_grad()
def draw_rows(old: Tensor, count: int, generator: torch.Generator, eps: float = 1e-5) -> Tensor:
    """Rows from the multivariate normal distribution of `old`.

    Args:
        old: [V, H].
        count: rows to draw.
        generator: on the CPU.
        eps: added to the covariance's diagonal, as a share of its mean (fewer rows than columns leave it singular).
    Returns:
        [count, H], dtype and device of `old`.
    """
    height, width = old.shape
    mean = torch.zeros(width, dtype=torch.float64)
    for chunk in old.split(CHUNK_ROWS):
        mean += chunk.detach().cpu().double().sum(0)
    mean = (mean / height).float()
    cov = torch.zeros(width, width)
    for chunk in old.split(CHUNK_ROWS):
        centred = chunk.detach().cpu().float() - mean
        cov.addmm_(centred.T, centred)
    cov = cov.double() / max(1, height - 1)
    cov.diagonal().add_(eps * cov.diagonal().mean() + torch.finfo(torch.float32).tiny)
    factor = torch.linalg.cholesky(cov).float()
    new = torch.empty(count, width, dtype=old.dtype, device=old.device)
    for part in new.split(CHUNK_ROWS):
        z = torch.randn(part.shape[0], width, generator=generator)
        part.copy_(torch.addmm(mean, z, factor.T))
    return new


def _grown(old: Tensor, new: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([old.detach(), new.to(old.dtype)]), requires_grad=old.requires_grad)


def _probe(base: PreTrainedModel, vocabulary: CodecVocabulary, limit: int) -> tuple[Tensor | None, Tensor | None]:
    """The text model's own logits on a few text ids, before anything changes."""
    if base.device.type == "meta":
        return None, None
    legal = [i for i in range(min(limit, 8)) if i not in (vocabulary.open_id, vocabulary.close_id)][:3]
    if len(legal) < 2:
        return None, None
    ids = torch.tensor([legal], device=base.device)
    was_training = base.training
    base.eval()
    with torch.no_grad():
        logits = base(input_ids=ids, use_cache=False).logits[0, :, :limit].float()
    base.train(was_training)
    return logits, ids


def _check(model: CodecCausalLM, wanted: Tensor | None, ids: Tensor | None) -> None:
    if wanted is None or ids is None:
        return
    was_training = model.training
    model.eval()
    with torch.no_grad():
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        hidden, _ = model.hidden_states(ids, use_cache=False, position_ids=positions)
        found, rows = model.routed_logits(hidden[0], -1)
    model.train(was_training)
    rows_in = rows < wanted.shape[1]
    difference = (found.float()[:, rows_in] - wanted[:, rows[rows_in]]).abs().max().item()
    limit = 1e-3 * max(1.0, wanted.abs().max().item()) * (1 if model.dtype == torch.float32 else 20)
    if difference > limit:
        raise ValueError(
            f"{model.config.text_config.model_type} does something to its logits that the routed head does not know: "
            f"they differ by {difference:.3g}; extend supports plain heads, scaled ones and soft caps"
        )
