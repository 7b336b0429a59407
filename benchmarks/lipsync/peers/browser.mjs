// The few parts of Web Audio the browser libraries touch, driven by a clip instead of a sound card.
// One audio quantum is 128 samples, as in browsers; messages between node and processor arrive at once.

export const RATE = 48000;
export const QUANTUM = 128;

let clock_s = 0;

function portPair() {
  const a = { onmessage: null };
  const b = { onmessage: null };
  a.postMessage = (data) => b.onmessage?.({ data });
  b.postMessage = (data) => a.onmessage?.({ data });
  return [a, b];
}

// Set up by `worklet` for the next AudioWorkletNode that is constructed.
let nextPorts = null;

globalThis.sampleRate = RATE;
Object.defineProperty(globalThis, "currentTime", { get: () => clock_s, configurable: true });
globalThis.AudioWorkletNode = class {
  constructor(context, name, options) {
    this.context = context;
    this.options = options;
    this.parameters = new Map();
    [this.port, this.farPort] = portPair();
    nextPorts = this;
  }
};
globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.port = nextPorts.farPort;
  }
};
export const processors = new Map();
globalThis.registerProcessor = (name, type) => processors.set(name, type);

export function setClock(seconds) {
  clock_s = seconds;
}

// Runs `perQuantum(block, seconds)` over the samples and `perFrame(seconds)` sixty times a second.
export function play(samples, perQuantum, perFrame) {
  let frame = 0;
  const frames = Math.ceil((samples.length / RATE) * 60);
  for (let at = 0; frame < frames; at += QUANTUM) {
    const block = new Float32Array(QUANTUM);
    block.set(samples.subarray(at, at + QUANTUM));
    setClock((at + QUANTUM) / RATE);
    perQuantum(block, clock_s);
    while (frame < frames && frame / 60 <= clock_s) perFrame(frame++ / 60);
  }
}

// AnalyserNode.getByteFrequencyData after the Web Audio specification: Blackman window, smoothing 0.8, -100 to -30 dB.
export class Analyser {
  constructor() {
    this.fftSize = 2048;
    this.history = new Float32Array(2048);
    this.smoothed = new Float64Array(1024);
  }

  get frequencyBinCount() {
    return this.fftSize / 2;
  }

  push(block) {
    this.history.copyWithin(0, block.length);
    this.history.set(block, this.fftSize - block.length);
  }

  connect() {}

  getByteFrequencyData(out) {
    const n = this.fftSize;
    const re = new Float64Array(n);
    const im = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const turn = (2 * Math.PI * i) / n;
      re[i] = this.history[i] * (0.42 - 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn));
    }
    fft(re, im);
    for (let k = 0; k < n / 2; k++) {
      this.smoothed[k] = 0.8 * this.smoothed[k] + 0.2 * (Math.hypot(re[k], im[k]) / n);
      const db = 20 * Math.log10(this.smoothed[k] + 1e-20);
      out[k] = Math.max(0, Math.min(255, Math.floor((255 * (db + 100)) / 70)));
    }
  }
}

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos((-2 * Math.PI * k) / size);
      const s = Math.sin((-2 * Math.PI * k) / size);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const tr = c * re[j] - s * im[j];
        const ti = c * im[j] + s * re[j];
        re[j] = re[i] - tr;
        im[j] = im[i] - ti;
        re[i] += tr;
        im[i] += ti;
      }
    }
  }
}
