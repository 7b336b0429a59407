// Streams speech to a facewave studio and gives back blend-shape frames. One file, no dependencies; copy it to your project.
//
//   const client = new FacewaveClient("ws://127.0.0.1:8765/ws/stream");
//   client.onframe = (frame) => { mesh.morphTargetInfluences[...] = frame.weights[...] };
//   const info = await client.start({ sampleRate: 48000 });   // info.channels names the weights
//   client.send(float32Samples);                              // as often as you like, any length
//   await client.end();                                       // resolves when the last frame has come

export class FacewaveClient {
  /** `url` may carry `?token=...`. */
  constructor(url) {
    this.url = url;
    this.onframe = () => {};
    this.onerror = () => {};
  }

  /** Open a stream; resolves to {channels, fps, lookAheadMs}. */
  start({ sampleRate, provider = "", settings = {} }) {
    return this.#open(() => this.#say({ type: "start", sampleRate, provider, settings }));
  }

  /** Only watch, where `facewave live --to ws://...` or `facewave play` sends; resolves when a stream has begun. */
  watch() {
    return this.#open(() => {});
  }

  #open(greet) {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.failed = null;
    this.finished = new Promise((resolve) => (this.resolveFinished = resolve));
    return new Promise((resolve, reject) => {
      this.socket.onopen = greet;
      this.socket.onmessage = ({ data }) => {
        if (typeof data !== "string") return this.#frames(data);
        const message = JSON.parse(data);
        if (message.type === "info") {
          this.info = message;
          resolve(message);
        } else if (message.type === "end") {
          this.resolveFinished(message.frames);
        } else if (message.type === "error") {
          this.failed = new Error(message.message);
          this.onerror(this.failed);
          reject(this.failed);
        }
      };
      this.socket.onclose = (event) => {
        const gone = this.failed ?? new Error(`the studio closed the stream (${event.code})`);
        reject(gone);
        if (event.code !== 1000 && !this.failed) this.onerror(gone);
        this.resolveFinished(0);
      };
    });
  }

  /** Send mono samples: Float32Array in [-1, 1], or Int16Array. */
  send(samples) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    let pcm = samples;
    if (samples instanceof Float32Array) {
      pcm = new Int16Array(samples.length);
      for (let i = 0; i < samples.length; i++) pcm[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
    }
    for (let i = 0; i < pcm.length; i += 100_000) this.socket.send(pcm.slice(i, i + 100_000));
  }

  /** Ask for an emotion from here on: {joy: 0.8}. */
  emotion(values) {
    this.#say({ type: "emotion", values });
  }

  /** No more audio; resolves to the number of frames once all have come. */
  end() {
    this.#say({ type: "end" });
    return this.finished;
  }

  /** Drop the stream at once. */
  close() {
    this.socket?.close(1000);
  }

  #say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #frames(data) {
    const view = new DataView(data);
    const [first, count] = [view.getUint32(0, true), view.getUint32(4, true)];
    const width = this.info.channels.length;
    for (let k = 0; k < count; k++) {
      const weights = new Float32Array(data, 8 + k * width * 4, width);
      this.onframe({ index: first + k, seconds: (first + k) / this.info.fps, weights });
    }
  }
}

/** Microphone samples to a callback; resolves to {sampleRate, stop()}. */
export async function openMicrophone(onsamples) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  const context = new AudioContext();
  const source = `registerProcessor("tap", class extends AudioWorkletProcessor {
    constructor() { super(); this.kept = new Float32Array(1024); this.n = 0; }
    process([input]) {
      const samples = input[0];
      if (samples) for (const x of samples) {
        this.kept[this.n++] = x;
        if (this.n === 1024) { this.port.postMessage(this.kept.slice()); this.n = 0; }
      }
      return true;
    }
  });`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const tap = new AudioWorkletNode(context, "tap");
  tap.port.onmessage = ({ data }) => onsamples(data);
  context.createMediaStreamSource(stream).connect(tap);
  await context.resume();
  return {
    sampleRate: context.sampleRate,
    stop() {
      stream.getTracks().forEach((track) => track.stop());
      return context.close();
    },
  };
}
