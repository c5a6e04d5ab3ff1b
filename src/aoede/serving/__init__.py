"""Serving: voices over HTTP (`app.py`), many at a time (`scheduler.py`), and the slot grammar inside vLLM.

Importing this room loads nothing heavy and needs no extra; its parts are named by their full paths, `aoede.serving.app`
for one, and so does vLLM with the classes of `vllm_v1` and `vllm_v2`.
"""

__all__: list[str] = []
