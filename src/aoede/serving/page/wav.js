/* Samples as a WAV file: 16 bit, mono. Knows nothing else. */

/** @param {Float32Array} samples in [-1, 1]; @param {number} rate Hz; @returns {Blob} */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of this part
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample of all channels
  view.setUint16(34, 16, true); // bits
  letters(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i++) {
    const level = Math.round(32768 * samples[i]);
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, level)), true);
  }
  return new Blob([view], { type: "audio/wav" });
}
