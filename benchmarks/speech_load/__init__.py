"""Parts of the load test `benchmarks/serving.py`: a server process, a client, the playback of what arrives, figures."""
