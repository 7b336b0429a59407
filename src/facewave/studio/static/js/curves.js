// The waveform with the curves of chosen channels over it, and a play head. A slider to keyboards and screen readers.

export const COLOURS = ["#e4572e", "#2e86ab", "#3a9d5d", "#a23b72", "#d08c00", "#5b5bd6", "#0f8b8d", "#b5446e"];

export class Curves {
  /** `host` is an empty element; `onSeek(seconds)` is called when the user moves the play head. */
  constructor(host, onSeek) {
    this.host = host;
    this.onSeek = onSeek;
    this.length = 0;
    this.peaks = null;
    this.lines = [];
    this.canvas = document.createElement("canvas");
    this.head = Object.assign(document.createElement("div"), { className: "playhead" });
    host.append(this.canvas, this.head);
    Object.assign(host, { tabIndex: 0, role: "slider" });
    host.setAttribute("role", "slider");
    host.setAttribute("aria-label", "Position in the clip");
    host.setAttribute("aria-valuemin", "0");
    const seek = (event) => {
      const box = host.getBoundingClientRect();
      this.onSeek(((event.clientX - box.left) / box.width) * this.length);
    };
    host.addEventListener("pointerdown", (event) => {
      host.setPointerCapture(event.pointerId);
      seek(event);
      host.onpointermove = seek;
    });
    host.addEventListener("pointerup", () => (host.onpointermove = null));
    new ResizeObserver(() => this.draw()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** `audio` is an AudioBuffer or null. */
  setClip(audio, seconds) {
    this.length = seconds;
    this.samples = audio ? audio.getChannelData(0) : null;
    this.host.setAttribute("aria-valuemax", seconds.toFixed(2));
    this.draw();
  }

  /** `lines`: [{name, values, colour}], values one a frame over the whole clip, 0..1. */
  setLines(lines) {
    this.lines = lines;
    this.draw();
  }

  setTime(seconds) {
    const share = this.length ? seconds / this.length : 0;
    this.head.style.transform = `translateX(${share * this.host.clientWidth}px)`;
    const text = seconds.toFixed(2);
    if (text !== this.said) {
      this.said = text;
      this.host.setAttribute("aria-valuenow", text);
      this.host.setAttribute("aria-valuetext", `${text} of ${this.length.toFixed(2)} seconds`);
    }
  }

  draw() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [this.host.clientWidth, this.host.clientHeight];
    if (!width || !height) return;
    Object.assign(this.canvas, { width: width * ratio, height: height * ratio });
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    if (this.samples) {
      pen.fillStyle = getComputedStyle(this.canvas).color;
      const step = this.samples.length / width;
      for (let x = 0; x < width; x++) {
        let peak = 0;
        const stride = Math.max(1, Math.floor(step / 64));
        for (let i = Math.floor(x * step); i < (x + 1) * step; i += stride) peak = Math.max(peak, Math.abs(this.samples[i] ?? 0));
        pen.fillRect(x, height / 2 - (peak * height) / 2, 1, Math.max(1, peak * height));
      }
    }
    pen.lineWidth = 1.6;
    for (const { values, colour, faint } of this.lines) {
      pen.strokeStyle = colour;
      pen.globalAlpha = faint ? 0.45 : 1;
      pen.beginPath();
      const n = values.length;
      for (let k = 0; k < n; k++) {
        const x = (k / Math.max(1, n)) * width;
        const y = height - 4 - Math.min(1.1, Math.max(0, values[k])) * (height - 8);
        if (k) pen.lineTo(x, y);
        else pen.moveTo(x, y);
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
}
