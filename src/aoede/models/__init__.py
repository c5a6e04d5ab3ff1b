"""Language models over codec ids: any Hugging Face causal LM with a codec vocabulary and a routed head."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from aoede.models.causal_lm import CodecCausalLM, CodecLMOutput
from aoede.models.config import CodecLMConfig
from aoede.models.extend import draw_rows, extend
from aoede.models.tracking import RowState
from aoede.models.two_stage import TwoStageConfig, TwoStageModel, TwoStageOutput, amortized_frames

__all__ = [
    "CodecCausalLM",
    "CodecLMConfig",
    "CodecLMOutput",
    "RowState",
    "TwoStageConfig",
    "TwoStageModel",
    "TwoStageOutput",
    "amortized_frames",
    "draw_rows",
    "extend",
]

# So that `AutoModelForCausalLM.from_pretrained(dir)`, or `AutoModel` for two stages, finds these classes in a process
# that has Aoede.
AutoConfig.register(CodecLMConfig.model_type, CodecLMConfig, exist_ok=True)
AutoModelForCausalLM.register(CodecLMConfig, CodecCausalLM, exist_ok=True)
AutoConfig.register(TwoStageConfig.model_type, TwoStageConfig, exist_ok=True)
AutoModel.register(TwoStageConfig, TwoStageModel, exist_ok=True)
