// The exported page: everything it needs is inside it.
import { Clock } from "facewave/clock.js";
import { Take } from "facewave/take.js";
import { createTransport } from "facewave/transport.js";
import { Viewer } from "facewave/viewer.js";

const text = (id) => document.getElementById(id).textContent.trim();

function bytes(id) {
  return Uint8Array.from(atob(text(id)), (letter) => letter.charCodeAt(0));
}

async function unpacked(id) {
  const stream = new Blob([bytes(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function main() {
  const info = JSON.parse(text("take-info"));
  const viewer = new Viewer(document.getElementById("head"), new URLSearchParams(location.search).get("quality"));
  const clock = new Clock();
  await viewer.load(await unpacked("head-data"));
  const frames = new Float32Array(await unpacked("frames-data"));
  const take = new Take(info.channels, info.fps, frames);
  if (info.audio) await clock.load(bytes("audio-data").buffer);
  else clock.silent(take.duration);
  const transport = createTransport({ viewer, clock });
  transport.showTake(take);
  document.getElementById("note").textContent = info.note;
  globalThis.facewave = { viewer, clock, take };
  document.documentElement.dataset.ready = "true";
}

main().catch((error) => {
  document.getElementById("note").textContent = `This page cannot be shown: ${error.message}`;
  throw error;
});
