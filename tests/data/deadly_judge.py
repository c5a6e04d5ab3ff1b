"""A judge of the cleaning that ends its process at one recording, as a decoder does that crashes on a damaged file."""

import os
import signal


class Deadly:
    def __init__(self, samples):
        self._samples = samples

    def opinion(self, samples, rate):
        if len(samples) == self._samples:
            os.kill(os.getpid(), signal.SIGKILL)
        return 4.0
