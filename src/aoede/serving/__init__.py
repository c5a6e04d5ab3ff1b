"""Serving: the slot grammar inside engines that are not Aoede's own.

Importing this room loads nothing heavy; vLLM names the classes of `vllm_v1` and `vllm_v2` by their full paths.
"""

__all__: list[str] = []
