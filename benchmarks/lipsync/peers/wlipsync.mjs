// wLipSync: its own audio node, processor and WASM. The package has no profile, so one is calibrated here the way its
// manual asks: sixteen spectra (MFCC) of each of five vowels, taken in the middle of vowels of calibration clips.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { play, processors, RATE } from "./browser.mjs";
import { answer, samples48k, task } from "./task.mjs";

const folder = join(dirname(fileURLToPath(import.meta.url)), "node_modules/wlipsync/dist");
const wasm = await WebAssembly.compile(readFileSync(join(folder, "wlipsync.wasm")));
const { WLipSyncAudioNode } = await import(join(folder, "wlipsync.js"));
await import(join(folder, "audio-processor.js"));

const VOWELS = { A: "aɑæʌ", I: "iɪ", U: "uʊ", E: "eɛ", O: "oɔ" };
const SPECTRA = 16;
const SHAPE = { targetSampleRate: 16000, sampleCount: 1024, melFilterBankChannels: 30, compareMethod: 1, mfccNum: 12 };

async function calibrate() {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const { exports } = await WebAssembly.instantiate(wasm, { env: { memory } });
  exports.load_profile(16000, 1024, 30, 1, 12, 1, 0); // with a place for each of twelve coefficients
  exports.set_input(RATE);
  // The buffer is a ring; a spectrum is taken of the last `size` samples before the index given to `execute`.
  const size = new DataView(memory.buffer).getInt32(exports.inputSampleCount.value, true);
  const input = new Float32Array(memory.buffer, exports.get_input_buffer(), size);
  const found = Object.fromEntries(Object.keys(VOWELS).map((name) => [name, []]));
  for (const clip of task.calibration) {
    const samples = samples48k(clip);
    for (const [start, end, symbol] of clip.phones) {
      const name = Object.keys(VOWELS).find((one) => VOWELS[one].includes(symbol));
      if (!name || end - start < 0.06) continue;
      const stop = Math.round(((start + end) / 2 + (0.5 * size) / RATE) * RATE);
      if (stop - size < 0 || stop > samples.length) continue;
      input.set(samples.subarray(stop - size, stop));
      exports.execute(size);
      const view = new DataView(memory.buffer, exports.mfccOut.value, 48);
      found[name].push(Array.from({ length: 12 }, (_, i) => view.getFloat32(4 * i, true)));
    }
  }
  const mfccs = Object.entries(found)
    .filter(([, spectra]) => spectra.length)
    .map(([name, spectra]) => ({
      name,
      mfccCalibrationDataList: Array.from({ length: SPECTRA }, (_, i) => ({ array: spectra[i % spectra.length] })),
    }));
  return { ...SHAPE, mfccDataCount: SPECTRA, useStandardization: false, mfccs };
}

const profile = await calibrate();

await answer(async (clip) => {
  const node = new WLipSyncAudioNode({ sampleRate: RATE }, profile, wasm);
  const Worklet = processors.get("wlipsync-processor");
  const worklet = new Worklet(node.options);
  while (worklet.inputBufferIndex === -1) await new Promise((resume) => setTimeout(resume, 1));
  const times = [];
  const weights = [];
  play(
    samples48k(clip),
    (block) => worklet.process([[block]], [], { blockSize: [512] }),
    (seconds) => {
      times.push(seconds);
      weights.push(Object.fromEntries(Object.entries(node.weights).map(([k, v]) => [k, v * node.volume])));
    },
  );
  return { times, weights };
});
