// HeadAudio: its own audio node, processor, easing and English model.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { play } from "./browser.mjs";
import { answer, samples48k } from "./task.mjs";

const folder = join(dirname(fileURLToPath(import.meta.url)), "node_modules/@met4citizen/headaudio");
const { HeadAudio } = await import(join(folder, "modules/headaudio.mjs"));
await import(join(folder, "modules/headworklet.mjs"));
const { processors } = await import("./browser.mjs");
globalThis.fetch = async (path) => {
  const file = readFileSync(path);
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  return { ok: true, arrayBuffer: async () => bytes };
};

await answer(async (clip) => {
  const node = new HeadAudio({ sampleRate: 48000 });
  const Worklet = processors.get("headworklet");
  const worklet = new Worklet({ processorOptions: {}, parameterData: {} });
  await node.loadModel(join(folder, "dist/model-en-mixed.bin"));
  const now = {};
  node.onvalue = (name, value) => (now[name.replace("viseme_", "")] = value);
  const times = [];
  const weights = [];
  play(
    samples48k(clip),
    (block) => worklet.process([[block]], [], {}),
    (seconds) => {
      node.update(1000 / 60);
      times.push(seconds);
      weights.push({ ...now });
    },
  );
  return { times, weights };
});
