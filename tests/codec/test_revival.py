"""Dead codes come back, living ones are left alone, and statistics are what a person counts."""

import pytest
import torch

from aoede.codec import SnacConfig
from aoede.codec.quantize import Quantized, ResidualQuantizer
from aoede.codec.revival import CodeRevival, code_statistics

CONFIG = SnacConfig(
    encoder_dim=1, encoder_rates=(2,), decoder_dim=2, decoder_rates=(2,), codebook_size=4, codebook_dim=2,
    vq_strides=(1,),
)  # fmt: skip


def seen(codes: list[int], vectors: list[list[float]]) -> Quantized:
    zero = torch.zeros(())
    projected = torch.tensor(vectors).t()[None]
    return Quantized(torch.zeros(1, 2, len(codes)), [torch.tensor([codes])], [projected], zero, zero)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FIRST = seen([0, 1, 2, 3], [[10.0, 0.0], [0.0, 10.0], [-10.0, 0.0], [0.0, -10.0]])


def test_the_first_update_fills_every_codebook_from_what_was_seen() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    assert CodeRevival(quantizer).update(quantizer, FIRST, generator()) == 4
    # Four entries, four vectors: each is drawn once, and moved by a fiftieth of the spread, which is 7.07 here.
    distances = torch.cdist(quantizer.levels[0].codebook.weight.detach(), FIRST.projected[0][0].t())
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2, 3]
    assert float(distances.min(1).values.max()) < 7.07 * 0.02 * 5


def test_codes_that_nobody_chooses_are_replaced_and_the_others_not_touched() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    revival = CodeRevival(quantizer, every=10, decay=0.5, threshold=0.1)
    revival.update(quantizer, FIRST, generator())
    before = quantizer.levels[0].codebook.weight.detach().clone()
    vectors = [[100.0, 100.0], [100.0, 101.0], [101.0, 100.0], [101.0, 101.0]]
    replaced = [revival.update(quantizer, seen([0, 0, 2, 2], vectors), generator(step)) for step in range(1, 11)]
    assert replaced == [0] * 9 + [2]
    after = quantizer.levels[0].codebook.weight.detach()
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert (after[[1, 3]] > 99.0).all()
    # They count as chosen as often as the mean, so the next look spares them; unused, they go again later.
    assert revival.usage[0][[1, 3]].tolist() == [1.0, 1.0]
    again = [revival.update(quantizer, seen([0, 1, 2, 3], vectors), generator(step)) for step in range(11, 31)]
    assert again == [0] * 20


def test_trained_codebooks_are_not_filled_and_lose_only_what_stays_unused() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    before = quantizer.levels[0].codebook.weight.detach().clone()
    revival = CodeRevival(quantizer, every=10, decay=0.8, threshold=0.1, trained=True)
    one_missing = seen([0, 1, 2, 2], [[9.0, 9.0]] * 4)
    replaced = [revival.update(quantizer, one_missing, generator(step)) for step in range(20)]
    # Entry 3 begins at the mean and loses a fifth a step: 0.8^10 is 0.107, enough at the first look; 0.8^20 is not.
    assert replaced == [0] * 19 + [1]
    after = quantizer.levels[0].codebook.weight.detach()
    assert torch.equal(after[:3], before[:3]) and (after[3] > 8.0).all()


def test_fewer_vectors_than_dead_codes_are_drawn_evenly() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    CodeRevival(quantizer).update(quantizer, seen([0, 0], [[50.0, 0.0], [0.0, 50.0]]), generator())
    weight = quantizer.levels[0].codebook.weight.detach()
    assert sorted((weight[:, 0] > weight[:, 1]).tolist()) == [False, False, True, True]
    assert len({tuple(entry) for entry in weight.tolist()}) == 4  # copies differ, so that they can part


def test_vectors_seen_before_quantization_began_are_remembered() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    revival = CodeRevival(quantizer)
    revival.observe(seen([0, 0, 0], [[50.0, 0.0], [0.0, 50.0], [-50.0, 0.0]]))
    revival.update(quantizer, seen([0], [[0.0, -50.0]]), generator())
    weight = quantizer.levels[0].codebook.weight.detach()
    assert sorted(torch.atan2(weight[:, 1], weight[:, 0]).mul(2 / torch.pi).round().abs().tolist()) == [0, 1, 1, 2]
    revival.observe(seen([0] * 9, [[float(n), 1.0] for n in range(9)]))
    assert revival.recent[0][:, 0].tolist() == [5, 6, 7, 8]  # as many as the codebook has entries, the newest


def test_a_loaded_state_goes_on_the_same() -> None:
    quantizer = ResidualQuantizer(CONFIG)
    revival = CodeRevival(quantizer, every=3)
    for step in range(4):
        revival.update(quantizer, FIRST, generator(step))
    other_quantizer, other = ResidualQuantizer(CONFIG), CodeRevival(quantizer, every=3)
    other_quantizer.load_state_dict(quantizer.state_dict())
    other.load_state_dict(revival.state_dict())
    batch = seen([1, 1], [[3.0, 4.0], [5.0, 6.0]])
    counts = []
    for which, codebooks in ((revival, quantizer), (other, other_quantizer)):
        counts.append([which.update(codebooks, batch, generator(step)) for step in range(200)])
    assert counts[0] == counts[1] and sum(counts[0]) > 0
    assert torch.equal(quantizer.levels[0].codebook.weight, other_quantizer.levels[0].codebook.weight)
    assert torch.equal(revival.usage[0], other.usage[0])


@pytest.mark.parametrize("changes", [{"every": 0}, {"decay": 1.0}, {"threshold": -0.1}])
def test_settings_that_cannot_be_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"every >= 1, 0 < decay, threshold < 1"):
        CodeRevival(ResidualQuantizer(CONFIG), **changes)  # type: ignore[arg-type]


def test_statistics_by_hand() -> None:
    # Two of eight entries, as often: a perplexity of two.
    assert code_statistics(torch.tensor([[3, 5], [5, 3]]), 8) == (0.25, pytest.approx(2.0))
    # Shares 3/4 and 1/4: exp(0.75 ln(4/3) + 0.25 ln 4) = exp(0.562335)
    assert code_statistics(torch.tensor([0, 0, 0, 7]), 8) == (0.25, pytest.approx(1.754765))
    assert code_statistics(torch.arange(8), 8) == (1.0, pytest.approx(8.0))
