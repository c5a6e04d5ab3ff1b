"""A two-stage model on toy data: a backbone over frames, a depth decoder inside each, trained, asked, spoken with.

Every letter is a tone, the codec is small and untrained, the model tiny: what is real is the way. `aoede train
two-stage`, `aoede speak` and `aoede train voice-prompt` take the same steps as commands.

Run: python examples/09_two_stage.py
"""

from pathlib import Path

import numpy as np
import torch
from toy_recordings import SENTENCE, make_codec, make_recordings

from aoede.data import load_manifest, prepare
from aoede.data.text import TextFrontEnd
from aoede.generation import Voice
from aoede.generation.writers import turn_frames
from aoede.training import LoopConfig, OptimConfig, ScheduleConfig
from aoede.training.scratch import ScratchConfig
from aoede.training.speech_data import SpeechDataConfig
from aoede.training.two_stage import TwoStageRecipe, train
from aoede.training.two_stage_model import TwoStageModelConfig, TwoStageScratchConfig
from aoede.training.voice_prompt import VoicePromptConfig
from aoede.training.voice_prompt import train as train_voice_prompt

folder = Path("toy_two_stage")
manifest = make_recordings(folder / "recordings")
make_codec().save_pretrained(folder / "codec")
prepare(load_manifest(manifest), make_codec(), folder / "codes")

# Both stages from nothing. Slots of one level of the codec share rows; the depth decoder sees half of the frames.
recipe = TwoStageRecipe(
    data=SpeechDataConfig(
        shards=(str(folder / "codes"),), codec=str(folder / "codec"), text=TextFrontEnd(template="{speaker}{text}")
    ),
    model=TwoStageModelConfig(
        scratch=TwoStageScratchConfig(
            backbone=ScratchConfig(hidden=64, layers=2, heads=2, intermediate=128),
            depth_decoder=ScratchConfig(hidden=48, layers=1, heads=2, intermediate=96),
            share_rows=True,
            slot_gains=True,
        )
    ),
    amortization_ratio=2,
    frames_per_batch=1024,
    optim=OptimConfig(lr=1e-2),
    schedule=ScheduleConfig(kind="cosine", warmup_steps=5),
    loop=LoopConfig(steps=60, eval_every=30, checkpoint_every=60, tensorboard=False),
)
voice = Voice.from_pretrained(train(recipe, folder / "run"))
model = voice.model
config = model.config
print(
    f"{config.num_slots} slots of {config.slot_sizes[0]} codes in {config.slot_offsets[-1]} rows, {config.slot_tables}"
)

# The model itself: frames in, frames out, and how likely it finds what it drew.
prompt = turn_frames(model, voice.reader.ids(SENTENCE, "flute", []))[None]
drawn = model.generate(prompt, max_new_frames=4, min_new_frames=2, seeds=1, return_dict_in_generate=True)
frames = drawn.frames[0]
print(f"a prompt of {prompt.shape[1]} text frames gave {frames.tolist()}")
said = torch.cat([prompt, torch.nn.functional.pad(frames, (0, 1), value=-1)[None]], 1)
found = model.log_probs(said)[:, prompt.shape[1] :]
print(f"log-probability {found.sum():.2f}, {drawn.log_probs[:, : len(frames)].sum():.2f} as it was drawn")

# Its own voice; another one, which it hears in a recording first; that one again, learnt into a file of kilobytes.
horn = make_recordings(folder / "horn", "horn", lambda phase: np.sign(np.sin(phase)))
own = voice.speak(SENTENCE, seed=1)
clone = voice.speak(SENTENCE, seed=1, reference=folder / "horn" / "0.wav", reference_text=load_manifest(horn)[0].text)
learning = VoicePromptConfig(steps=40, length=4, lr=0.1)
file = train_voice_prompt(folder / "run" / "export", horn, folder / "horn.safetensors", learning)
learnt = Voice.from_pretrained(file).speak(SENTENCE, seed=1)
for name, audio in (("own", own), ("clone", clone), ("learnt", learnt)):
    audio.save(f"{name}.wav")
    print(f"written {name}.wav, {audio.duration:.2f} s")
print(f"{file.name} has {file.stat().st_size:,} bytes, the model {sum(p.numel() for p in model.parameters()) * 4:,}")
