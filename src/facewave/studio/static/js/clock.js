// Play a clip and say exactly where in it we are: the audio hardware's own clock, less what is still on its way to the ear.

export class Clock extends EventTarget {
  constructor() {
    super();
    this.buffer = null;
    this.length = 0;
    this.offset = 0;
    this.playing = false;
    this.loop = false;
    this.speed = 1;
  }

  /** Decode an encoded file (an ArrayBuffer). Throws with a sentence when the browser cannot. */
  async load(encoded) {
    this.pause();
    this.context ??= new AudioContext();
    try {
      this.buffer = await this.context.decodeAudioData(encoded);
    } catch {
      throw new Error("this browser cannot decode the audio; a WAV file with 16-bit samples always works");
    }
    this.length = this.buffer.duration;
    this.seek(0);
  }

  /** Without sound: only the time runs. */
  silent(seconds) {
    this.pause();
    this.buffer = null;
    this.length = seconds;
    this.seek(0);
  }

  get time() {
    if (!this.playing) return this.offset;
    const run = this.offset + (this.#now() - this.started) * this.speed;
    return this.loop && this.length > 0 ? ((run % this.length) + this.length) % this.length : Math.max(0, Math.min(run, this.length));
  }

  async play() {
    if (this.playing || this.length <= 0) return;
    if (this.offset >= this.length - 0.01) this.offset = 0;
    if (this.buffer) await this.context.resume();
    // Asked twice while the sound was waking up, it starts once.
    if (this.playing) return;
    this.playing = true;
    this.#start();
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.time;
    this.playing = false;
    this.#stop();
    this.dispatchEvent(new Event("change"));
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  seek(seconds) {
    this.offset = Math.max(0, Math.min(seconds, this.length));
    if (this.playing) {
      this.#stop();
      this.#start();
    }
    this.dispatchEvent(new Event("change"));
  }

  setLoop(on) {
    this.offset = this.time;
    this.loop = on;
    this.seek(this.offset);
  }

  setSpeed(speed) {
    this.offset = this.time;
    this.speed = speed;
    this.seek(this.offset);
  }

  /** Call once a picture: stops at the end of the clip. */
  tick() {
    if (this.playing && !this.loop && this.time >= this.length) this.pause();
    return this.time;
  }

  /** Seconds from the audio clock to the ear. Capped: a starved audio thread reports whole seconds that nobody hears. */
  get delay() {
    return Math.min(this.context?.outputLatency || 0, 0.3);
  }

  #now() {
    if (!this.buffer) return performance.now() / 1000;
    return this.context.currentTime - this.delay;
  }

  #start() {
    this.started = this.buffer ? this.context.currentTime : performance.now() / 1000;
    if (!this.buffer) return;
    this.source = this.context.createBufferSource();
    this.source.buffer = this.buffer;
    this.source.loop = this.loop;
    this.source.playbackRate.value = this.speed;
    this.source.connect(this.context.destination);
    this.source.start(0, this.offset);
  }

  #stop() {
    this.source?.stop();
    this.source?.disconnect();
    this.source = null;
  }
}
