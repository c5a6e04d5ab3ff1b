/* Hands the microphone's samples, block by block, from the audio thread to the page. Knows nothing else. */

class Tap extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
}

registerProcessor("tap", Tap);
