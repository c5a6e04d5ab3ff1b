"""The routed head equals the full masked softmax, value and gradient, and never multiplies what is not legal."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from aoede.models import routed_head
from aoede.models.routed_head import RoutedHead, Scaling
from aoede.tokens import CodecVocabulary, FrameLayout, SlotRouter

# Markers among the text rows, as Calliope has them: text and slot 0 are then two runs of rows each.
SPLIT = CodecVocabulary(
    text_size=20, size=44, layout=FrameLayout("CMFFMFF"), codebook_sizes=(8, 8, 8), open_id=5, close_id=6,
    starts=(20, 28, 36),
)  # fmt: skip
JOINED = CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8))


def setup(vocabulary, scaling=None, bias=False, extra_rows=0):
    router = SlotRouter(vocabulary)
    head = RoutedHead([router.slices(r) for r in router.routes], scaling or Scaling())
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(vocabulary.size + extra_rows, 12, generator=generator, dtype=torch.float64)
    biases = torch.randn(vocabulary.size + extra_rows, generator=generator, dtype=torch.float64) if bias else None
    routes = torch.randint(-1, 7, (40,), generator=generator)
    labels = torch.stack([router.allowed(r)[torch.randint(len(router.allowed(r)), ())] for r in routes.tolist()])
    hidden = torch.randn(40, 12, generator=generator, dtype=torch.float64)
    return router, head, hidden, weight, biases, routes, labels


def full(router, hidden, weight, bias, routes, labels, scaling):
    logits = scaling(F.linear(hidden, weight, bias))
    legal = F.pad(router.mask(routes), (0, weight.shape[0] - router.vocabulary.size))
    return F.cross_entropy(logits.masked_fill(~legal, -torch.inf), labels, reduction="none")


@pytest.mark.parametrize("vocabulary", [SPLIT, JOINED], ids=["split", "joined"])
@pytest.mark.parametrize("scaling", [Scaling(), Scaling(0.25), Scaling(2.0, 3.0)], ids=["plain", "scaled", "capped"])
@pytest.mark.parametrize(("chunk", "tile"), [(1 << 24, 1 << 13), (50, 1 << 13), (1 << 24, 3), (10, 5)])
def test_nll_and_gradients_equal_the_full_masked_softmax(vocabulary, scaling, chunk, tile, monkeypatch):
    monkeypatch.setattr(routed_head, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(routed_head, "TILE_ROWS", tile)
    router, head, hidden, weight, bias, routes, labels = setup(vocabulary, scaling, bias=True, extra_rows=2)
    for x in (hidden, weight, bias):
        x.requires_grad_(True)
    importance = torch.rand(40, dtype=torch.float64)
    found, _, _ = head.nll(hidden, weight, bias, routes, labels)
    got = torch.autograd.grad((found * importance).sum(), [hidden, weight, bias])
    wanted = full(router, hidden, weight, bias, routes, labels, scaling)
    exact = torch.autograd.grad((wanted * importance).sum(), [hidden, weight, bias])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    for a, b in zip(got, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vocabulary", [SPLIT, JOINED], ids=["split", "joined"])
def test_logits_are_minus_infinity_exactly_where_an_id_is_illegal(vocabulary):
    router, head, hidden, weight, _, routes, _ = setup(vocabulary, extra_rows=3)
    logits = head.logits(hidden, weight, None, routes)
    legal = F.pad(router.mask(routes), (0, 3))
    torch.testing.assert_close(logits, (hidden @ weight.T).masked_fill(~legal, -torch.inf))


def test_slots_of_one_range_are_multiplied_together():
    _, head, *_ = setup(JOINED)
    assert head.group_list == [0, 1, 2, 3, 3, 2, 3, 3]
    assert [rows.segments for rows in head.groups] == [((0, 21),), ((21, 30),), ((30, 38),), ((38, 46),)]


def test_a_label_its_route_does_not_allow_is_named():
    _, head, hidden, weight, _, routes, labels = setup(JOINED)
    at = int((routes == 1).nonzero()[0])
    labels[at] = 45
    with pytest.raises(ValueError, match=r"label 45 stands where slot 1 comes next, which takes ids of \[30, 38\)"):
        head.nll(hidden, weight, None, routes, labels)


@pytest.mark.parametrize("tile", [1 << 13, 3])
def test_statistics_equal_those_of_the_full_softmax(tile, monkeypatch):
    monkeypatch.setattr(routed_head, "TILE_ROWS", tile)
    router, head, hidden, weight, _, routes, labels = setup(SPLIT)
    _, entropy, top1 = head.nll(hidden, weight, None, routes, labels, temperature=0.7, with_stats=True)
    logits = (hidden @ weight.T / 0.7).masked_fill(~router.mask(routes), -torch.inf)
    exact = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy.double(), exact, rtol=1e-4, atol=1e-5)
    assert top1.bool().tolist() == (logits.argmax(-1) == labels).tolist()


def test_bfloat16_weights_accumulate_in_float32(monkeypatch):
    """However many chunks the work is cut into, the gradient stays as good."""
    _, head, hidden, weight, _, routes, labels = setup(JOINED)
    grads = {}
    for dtype, chunk in ((torch.float32, 1 << 24), (torch.bfloat16, 1 << 24), (torch.bfloat16, 64)):
        monkeypatch.setattr(routed_head, "CHUNK_ELEMENTS", chunk)
        h, w = hidden.bfloat16().to(dtype).requires_grad_(True), weight.bfloat16().to(dtype).requires_grad_(True)
        nll, _, _ = head.nll(h, w, None, routes, labels)
        grads[dtype, chunk] = torch.autograd.grad(nll.mean(), [h, w])
    for exact, rounded in zip(grads[torch.float32, 1 << 24], grads[torch.bfloat16, 64], strict=True):
        assert (exact - rounded.float()).norm() < 0.01 * exact.norm()
    for once, often in zip(grads[torch.bfloat16, 1 << 24], grads[torch.bfloat16, 64], strict=True):
        assert (often - once).float().norm() < 0.005 * once.float().norm()


class Ledger:
    """What the allocator of the CPU gives out and takes back during a call, by PyTorch's profiler."""

    def __init__(self, work):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
            self.kept = work()
        held = self.peak = 0
        for event in profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                self.peak = max(self.peak, held)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_the_memory_of_the_loss_does_not_grow_with_the_vocabulary(dtype, trained, monkeypatch):
    """Beside the weight's own gradient: 4,000 text rows or 64,000, the same bytes (the full softmax takes 16 times)."""
    monkeypatch.setattr(routed_head, "CHUNK_ELEMENTS", 1 << 14)
    monkeypatch.setattr(routed_head, "TILE_ROWS", 1 << 9)
    peaks = []
    for text in (4000, 64000):
        vocabulary = CodecVocabulary.extend(text, FrameLayout("CMFFMFF"), (512, 512, 512))
        router = SlotRouter(vocabulary)
        head = RoutedHead([router.slices(r) for r in router.routes], Scaling())
        weight = torch.randn(vocabulary.size, 16).to(dtype).requires_grad_(trained)
        hidden = torch.randn(256, 16).to(dtype).requires_grad_(True)
        routes = torch.arange(256) % 8 - 1
        labels = torch.stack([router.allowed(route)[3] for route in routes.tolist()])

        def work(hidden=hidden, weight=weight, routes=routes, labels=labels, head=head):
            nll, _, _ = head.nll(hidden, weight, None, routes, labels)
            return torch.autograd.grad(nll.mean(), [hidden, weight] if weight.requires_grad else [hidden])

        ledger = Ledger(work)
        own = weight.numel() * weight.element_size() if trained else 0
        assert ledger.peak > own
        peaks.append(ledger.peak - own)
    assert peaks[1] <= 1.02 * peaks[0]
    assert peaks[1] < 256 * 64000 * 4 / 100  # a hundredth of the logits alone
