"""One training step of a prior: our routed loss against TRL's SFTTrainer, HF's Trainer and fused cross-entropies.

    python benchmarks/prior_step.py [--shape 262k|131k|tiny] [--rows 4] [--tokens 512] [--text-rows 0] [--steps 3]

The same model (random weights from one seed), rows and AdamW for everybody, each in a process of its own, so that peaks
of memory are its own too. Prints milliseconds a step, ids a second, the peak, and the ratio to ours; then the head and
loss alone. Rows are speech (one document each, as long as the row) but for `--text-rows` of them, which are text: the
routed head multiplies all text rows there, so its lead shrinks with their share. On CUDA, Liger's fused cross-entropy
and cut-cross-entropy take part where they are installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    # The shape of Gemma 3 270m: 262,144 text ids and 12,290 of the codec.
    "262k": {
        "model_type": "gemma3_text", "text": 262144, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "query_pre_attn_scalar": 256, "sliding_window": 512, "tie_word_embeddings": True,
    },
    # 131,072 text ids and 12,290 of the codec, on a small Llama.
    "131k": {
        "model_type": "llama", "text": 131072, "hidden_size": 768, "intermediate_size": 2048,
        "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 4, "tie_word_embeddings": True,
    },
    "tiny": {
        "model_type": "llama", "text": 8192, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True,
    },
}  # fmt: skip
STEPS = {
    "ours": "Aoede, routed loss",
    "plain": "same model, plain loss, bare loop",
    "trainer": "HF Trainer",
    "sft": "TRL SFTTrainer",
    "liger": "HF Trainer with Liger's fused cross-entropy",
    "cce": "cut-cross-entropy, bare loop",
}
HEADS = {
    "routed": "routed head",
    "full": "plain head",
    "masked": "plain head, illegal ids masked",
    "liger": "Liger's fused cross-entropy",
    "cce": "cut-cross-entropy",
}
ON_CUDA = ("liger", "cce")


def main() -> None:
    """Measure everybody, each in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="262k")
    parser.add_argument("--rows", type=int, default=4, help="rows of a batch")
    parser.add_argument("--tokens", type=int, default=512, help="ids of a row")
    parser.add_argument("--text-rows", type=int, default=0, help="how many of the rows are text")
    parser.add_argument("--steps", type=int, default=3, help="steps timed, after one that is not")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--part", choices=("all", "step", "head"), default="all")
    parser.add_argument("--only", help="contenders by name, comma-separated (ours, plain, trainer, sft, liger, cce)")
    parser.add_argument("--json", metavar="FILE", help="also write every number")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not 0 <= args.text_rows <= args.rows:
        parser.error(f"--text-rows {args.text_rows} of {args.rows} rows")
    if args.child:
        kind, _, name = args.child.partition(":")
        found = step_of(name, args) if kind == "step" else head_of(name, args)
        print("RESULT " + json.dumps(found))
        return
    shape = SHAPES[args.shape]
    places = args.rows * args.tokens
    print(
        f"{args.shape}: {shape['model_type']}, hidden {shape['hidden_size']}, {shape['num_hidden_layers']} layers, "
        f"{shape['text'] + 12290:,} ids; {args.rows} rows of {args.tokens} ids, {args.text_rows} of them text; "
        f"{args.device}, {args.precision}"
    )
    everything: dict[str, Any] = {"arguments": vars(args), "step": {}, "head": {}}
    for kind, contenders in (("step", STEPS), ("head", HEADS)):
        if args.part not in ("all", kind):
            continue
        print(f"\n{'whole step' if kind == 'step' else 'head and loss, forward and backward'}")
        for name, title in contenders.items():
            if args.only and kind == "step" and name not in args.only.split(","):
                continue
            if name in ON_CUDA and args.device != "cuda":
                continue
            found = run_child(f"{kind}:{name}", sys.argv[1:])
            everything[kind][name] = found
            first = next(iter(everything[kind].values()))
            print(line(title, found, first, places))
    if args.json:
        Path(args.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def line(title: str, found: dict[str, Any], first: dict[str, Any], places: int) -> str:
    """One contender: time, speed, memory, and its ratios to the first."""
    if "failed" in found:
        return f"{title:46} {found['failed']}"
    text = f"{title:46} {found['ms']:10,.1f} ms  {places / found['ms'] * 1e3:10,.0f} ids/s"
    text += f"  peak {found['peak'] / 2**30:6.2f} GiB (+{found['extra'] / 2**30:.2f} over weights)"
    apart = "extra_without_gradient"
    if apart in found:
        text += f" (+{found[apart] / 2**30:.2f} besides the weight's gradient)"
    if found is not first and "failed" not in first:
        more = found["extra"] / max(1, first["extra"])
        text += f"   {found['ms'] / first['ms']:5.2f}x the time, {more:.1f}x the memory"
        if apart in found and first[apart]:
            text += f" ({found[apart] / first[apart]:.1f}x besides the gradient)"
    if found.get("loss") is not None:
        text += f"   loss {found['loss']:.3f}"
    return text


def run_child(what: str, arguments: list[str]) -> dict[str, Any]:
    """A contender in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--child", what]
    done = subprocess.run(command, capture_output=True, text=True)
    found = [text for text in done.stdout.splitlines() if text.startswith("RESULT ")]
    if found:
        return dict(json.loads(found[-1].removeprefix("RESULT ")))
    reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}: killed, memory?"]
    return {"failed": f"did not run: {reason[0][:160]}"}


# -- what is measured ---------------------------------------------------------------------------------------------


def vocabulary_of(shape: dict[str, Any]) -> Any:
    from aoede.tokens import CodecVocabulary, FrameLayout

    return CodecVocabulary.extend(shape["text"], FrameLayout("CMFFMFF"), (4096,) * 3)


def batch_of(args: argparse.Namespace, vocabulary: Any) -> Any:
    """Rows [B, L] of ids: text rows first, then speech from its opening marker."""
    import torch

    generator = torch.Generator().manual_seed(0)
    text = torch.randint(2, vocabulary.text_size, (args.text_rows, args.tokens), generator=generator)
    frames = -(-args.tokens // vocabulary.num_slots)
    codes = torch.randint(0, 4096, (args.rows - args.text_rows, frames, vocabulary.num_slots), generator=generator)
    speech = vocabulary.ids_from_frames(codes, open=True)[:, : args.tokens]
    return torch.cat([text, speech]).to(args.device)


def base_of(args: argparse.Namespace, vocabulary: Any) -> Any:
    """The Hugging Face model that everybody trains."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {name: value for name, value in SHAPES[args.shape].items() if name != "text"}
    ids = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    config = AutoConfig.for_model(vocab_size=vocabulary.size, max_position_embeddings=8192, **shape, **ids)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).to(args.device)


def step_of(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """A contender's step."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    vocabulary = vocabulary_of(SHAPES[args.shape])
    ids = batch_of(args, vocabulary)
    model = base_of(args, vocabulary)
    if name in ("trainer", "sft", "liger"):
        return trainer_step(name, args, model, ids)
    from aoede.training.optim import OptimConfig, Optimizer

    if name == "ours":
        from aoede.models import extend

        model = extend(model, vocabulary).to(args.device)
    model.train()
    optimizer = Optimizer(model, OptimConfig(lr=1e-4, weight_decay=0.01, clip=1.0))

    def loss_of() -> Any:
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bfloat16"):
            if name != "cce":
                return model(input_ids=ids, labels=ids).loss
            from cut_cross_entropy import linear_cross_entropy

            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
            return linear_cross_entropy(hidden, model.lm_head.weight.to(hidden.dtype), ids, shift=True)

    seen: list[float] = []

    def step() -> None:
        loss = loss_of()
        loss.backward()
        optimizer.step(1.0)
        seen.append(loss.item())

    return measured(step, args) | {"loss": seen[0]}


def trainer_step(name: str, args: argparse.Namespace, model: Any, ids: Any) -> dict[str, Any]:
    """A step of a trainer, between its own callbacks."""
    import tempfile

    from datasets import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments

    memory = Memory(args.device)
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if len(times) == 1:
                memory.begin()  # the optimiser's moments are there
            self.started = now(args.device)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(now(args.device) - self.started)

    rows = [{"input_ids": row, "labels": row} for row in ids.cpu().tolist()] * (args.steps + 1)
    options = {
        "max_steps": args.steps + 1, "per_device_train_batch_size": args.rows, "learning_rate": 1e-4,
        "weight_decay": 0.01, "max_grad_norm": 1.0, "lr_scheduler_type": "constant", "optim": "adamw_torch_fused",
        "use_cpu": args.device == "cpu", "bf16": args.precision == "bfloat16", "report_to": [], "save_strategy": "no",
        "logging_steps": 1, "disable_tqdm": True, "dataloader_pin_memory": False, "remove_unused_columns": False,
        "use_liger_kernel": name == "liger",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if name == "sft":
            trainer = sft_trainer(folder, options, model, Dataset.from_list(rows))
        else:
            trainer = Trainer(
                model=model, args=TrainingArguments(folder, **options), train_dataset=rows, data_collator=stacked
            )
        trainer.add_callback(Clock())
        trainer.train()
    loss = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    return {"ms": statistics.median(times[1:]) * 1e3, "loss": float(loss)} | memory.end()


def sft_trainer(folder: str, options: dict[str, Any], model: Any, rows: Any) -> Any:
    """TRL's trainer, told that the rows are tokenised already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    inner = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
    config = SFTConfig(
        folder, max_length=None, packing=False, gradient_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True}, **options,
    )  # fmt: skip
    return SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer, data_collator=masked)


def stacked(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one length as tensors."""
    import torch

    return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}


def masked(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same with a mask of ones, which TRL asks for."""
    import torch

    batch = stacked(rows)
    return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}


def head_of(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Head and loss alone, on random hidden states."""
    import torch
    import torch.nn.functional as F

    from aoede.models.routed_head import RoutedHead, Scaling
    from aoede.tokens import SlotRouter

    if args.threads:
        torch.set_num_threads(args.threads)
    shape = SHAPES[args.shape]
    vocabulary = vocabulary_of(shape)
    router = SlotRouter(vocabulary)
    ids = batch_of(args, vocabulary)
    routes, labels = router.advance(ids)[0][:, :-1].reshape(-1), ids[:, 1:].reshape(-1)
    dtype = torch.bfloat16 if args.precision == "bfloat16" else torch.float32
    options = {"device": args.device, "dtype": dtype, "requires_grad": True}
    torch.manual_seed(0)
    weight = torch.randn(vocabulary.size, shape["hidden_size"], **options)
    hidden = torch.randn(len(labels), shape["hidden_size"], **options)
    head = RoutedHead([router.slices(route) for route in router.routes], Scaling()).to(ids.device)
    legal = router.mask(routes) if name == "masked" else None

    def loss_of() -> Any:
        if name == "routed":
            return head.nll(hidden, weight, None, routes, labels)[0].mean()
        if name == "liger":
            from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

            return LigerFusedLinearCrossEntropyLoss()(weight, hidden, labels)
        if name == "cce":
            from cut_cross_entropy import linear_cross_entropy

            return linear_cross_entropy(hidden, weight, labels)
        scores = F.linear(hidden, weight).float()
        return F.cross_entropy(scores if legal is None else scores.masked_fill(~legal, -torch.inf), labels)

    def step() -> None:
        weight.grad = hidden.grad = None
        loss_of().backward()

    found = measured(step, args)
    # Everybody needs the weight's gradient; what else is held is the head's own.
    gradient = weight.numel() * weight.element_size()
    return found | {"extra_without_gradient": max(0, found["extra"] - gradient), "loss": None}


def measured(step: Callable[[], None], args: argparse.Namespace) -> dict[str, Any]:
    """Median time of a step after the first, and memory."""
    step()
    memory = Memory(args.device)
    memory.begin()
    times = []
    for _ in range(args.steps):
        begun = now(args.device)
        step()
        times.append(now(args.device) - begun)
    return {"ms": statistics.median(times) * 1e3} | memory.end()


def now(device: str) -> float:
    """Seconds, when the device has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


class Memory:
    """The peak between `begin` and `end`, in bytes: of the GPU's allocator, or of this process by Linux's count."""

    def __init__(self, device: str) -> None:
        self.device, self.base = device, 0

    def begin(self) -> None:
        """Count from here; gradients are freed, weights and moments stay."""
        if self.device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            self.base = torch.cuda.memory_allocated()
            return
        Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the peak so far
        self.base = _status("VmRSS")

    def end(self) -> dict[str, int]:
        """`peak`, and `extra`: how far above `begin` it was."""
        if self.device == "cuda":
            import torch

            peak = torch.cuda.max_memory_allocated()
        else:
            peak = _status("VmHWM")
            if peak < self.base:  # a kernel that does not count so: what the process ever had
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"peak": peak, "extra": peak - self.base}


def _status(name: str) -> int:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(name + ":"):
            return int(text.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}: this benchmark needs Linux")


if __name__ == "__main__":
    main()
