// A take: channel names, frame rate and frames; answers "which weights at t seconds".

export class Take {
  /** `frames` is a Float32Array of count x channels. */
  constructor(channels, fps, frames) {
    this.channels = channels;
    this.fps = fps;
    this.frames = frames;
    this.count = channels.length ? frames.length / channels.length : 0;
    this.out = new Float32Array(channels.length);
  }

  get duration() {
    return this.count / this.fps;
  }

  /** Weights at a time, linear between frames; the array is reused by the next call. */
  at(seconds) {
    const n = this.channels.length;
    const place = Math.min(Math.max(seconds * this.fps, 0), Math.max(0, this.count - 1));
    const first = Math.floor(place);
    const share = place - first;
    const a = first * n;
    const b = Math.min(first + 1, this.count - 1) * n;
    for (let i = 0; i < n; i++) this.out[i] = this.frames[a + i] * (1 - share) + this.frames[b + i] * share;
    return this.out;
  }

  /** One channel's curve. */
  curve(channel) {
    const i = this.channels.indexOf(channel);
    const n = this.channels.length;
    return i < 0 ? new Float32Array(this.count) : Float32Array.from({ length: this.count }, (_, k) => this.frames[k * n + i]);
  }

  /** Channels by how much they move, most first. */
  liveliest() {
    const n = this.channels.length;
    const span = this.channels.map((name, i) => {
      let [low, high] = [Infinity, -Infinity];
      for (let k = i; k < this.frames.length; k += n) {
        low = Math.min(low, this.frames[k]);
        high = Math.max(high, this.frames[k]);
      }
      return [name, high - low];
    });
    return span.sort((x, y) => y[1] - x[1]).map(([name]) => name);
  }
}
