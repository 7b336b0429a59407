// The task every peer script is given, and where its answer goes:  node peer.mjs task.json out.json [options]
import { readFileSync, writeFileSync } from "node:fs";

export const options = process.argv.slice(4);
export const task = JSON.parse(readFileSync(process.argv[2], "utf8"));

export function pcm16k(clip) {
  return readFileSync(clip.pcm_16k);
}

// What a browser's audio graph would carry: 48 kHz floats.
export function samples48k(clip) {
  const bytes = readFileSync(clip.pcm_48k);
  const ints = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  return Float32Array.from(ints, (value) => value / 32768);
}

// Clips go through `move` one by one; only its time counts, not loading.
export async function answer(move) {
  const clips = [];
  const before = process.cpuUsage();
  for (const clip of task.clips) clips.push(await move(clip));
  const used = process.cpuUsage(before);
  writeFileSync(process.argv[3], JSON.stringify({ clips, cpu_s: (used.user + used.system) / 1e6 }));
  process.exit(0); // some libraries keep workers or timers alive
}
