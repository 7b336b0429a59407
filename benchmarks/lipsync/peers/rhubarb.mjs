// Rhubarb Lip Sync (WASM build): hears the whole file, then names mouth shapes A to H and X.
import { Rhubarb } from "rhubarb-lip-sync-wasm";
import { answer, options, pcm16k } from "./task.mjs";

const withTranscript = options.includes("--transcript");
await Rhubarb.getLipSync(Buffer.alloc(16000), {}); // load the module before time counts

await answer(async (clip) => {
  const settings = withTranscript && clip.transcript ? { dialogText: clip.transcript } : {};
  const { mouthCues } = await Rhubarb.getLipSync(Buffer.from(pcm16k(clip)), settings);
  return { cues: mouthCues.map((cue) => [cue.start, cue.end, cue.value]) };
});
