// wawa-lipsync: asked sixty times a second for the viseme of its analyser node.
import { Analyser, play, setClock } from "./browser.mjs";
import { answer, samples48k } from "./task.mjs";

let analyser = null;
let now_ms = 0;
globalThis.window = globalThis;
globalThis.AudioContext = class {
  sampleRate = 48000;
  createAnalyser() {
    analyser = new Analyser();
    return analyser;
  }
};
performance.now = () => now_ms;
const { Lipsync } = await import("wawa-lipsync");

await answer(async (clip) => {
  setClock(0);
  now_ms = 0;
  const lipsync = new Lipsync({ fftSize: 2048, historySize: 10 });
  const cues = [];
  play(
    samples48k(clip),
    (block) => analyser.push(block),
    (seconds) => {
      now_ms = seconds * 1000;
      lipsync.processAudio();
      cues.push([seconds, seconds + 1 / 60, lipsync.viseme.replace("viseme_", "")]);
    },
  );
  return { cues };
});
