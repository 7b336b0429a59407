// The studio page: a clip or the microphone in, a talking head and files out.
import { Clock } from "facewave/clock.js";
import { FacewaveClient, openMicrophone } from "facewave/facewave_client.js";
import { Take } from "facewave/take.js";
import { createTransport } from "facewave/transport.js";
import { Viewer } from "facewave/viewer.js";

const get = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const token = asked.get("token") ?? "";
const note = (text) => (get("note").textContent = text);
const complain = (error) => (get("error").textContent = error ? String(error.message ?? error) : "");

const clock = new Clock();
const viewer = new Viewer(get("head"), asked.get("quality"));
const transport = createTransport({ viewer, clock });
let viewerB = null;
let info = null;
let clip = null;
let keys = [];
let live = null;
let takeB = null;
const chosen = { emotion: {}, faceParameters: {}, multipliers: {} };
let run = 0;
let timer = 0;

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

function settings() {
  const out = { ...chosen };
  if (keys.length) out.emotionKeys = keys;
  return out;
}

function form(provider, extra = {}) {
  const body = new FormData();
  body.set("audio", clip);
  body.set("provider", provider);
  body.set("settings", JSON.stringify(settings()));
  for (const [name, value] of Object.entries(extra)) body.set(name, value);
  return body;
}

async function animated(provider) {
  const answer = await ask("/api/animate", { method: "POST", body: form(provider) });
  const data = await answer.arrayBuffer();
  const size = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
  return new Take(header.channels, header.fps, new Float32Array(data.slice(4 + size)));
}

/** Animate the clip again with the settings as they are; the newest call wins. */
async function refresh() {
  if (!clip || live) return;
  const mine = ++run;
  complain("");
  note(`Animating ${clip.name}…`);
  const began = performance.now();
  try {
    const other = get("provider-b").value;
    const [first, second] = [await animated(get("provider-a").value), other ? await animated(other) : null];
    if (mine !== run) return;
    transport.showTake(first, second);
    takeB = second;
    await showB(second);
    note(`${clip.name}: ${first.count} frames at ${first.fps} fps, ready after ${((performance.now() - began) / 1000).toFixed(1)} s.`);
    document.documentElement.dataset.takes = String(mine);
  } catch (error) {
    if (mine === run) {
      complain(error);
      note("");
    }
  }
}

function refreshSoon() {
  showCommand();
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
  if (live) live.client.emotion(chosen.emotion);
}

async function showB(take) {
  get("stage-b").hidden = !take;
  if (!take) return;
  if (!viewerB) {
    viewerB = new Viewer(get("head-b"), viewer.choice);
    await viewerB.load(await ownHead());
    const step = () => {
      if (takeB) viewerB.apply(takeB.at(clock.time));
      viewerB.setLevel(viewer.level);
      viewerB.render();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
  viewerB.setChannels(take.channels);
}

/** Load a file to be heard; where the browser does not know its format (AIFF), as the WAV the server makes of it. */
async function hear(file) {
  try {
    await clock.load(await file.arrayBuffer());
  } catch {
    const body = new FormData();
    body.set("audio", file);
    await clock.load(await (await ask("/api/sound", { method: "POST", body })).arrayBuffer());
  }
}

async function open(file) {
  try {
    complain("");
    await stopMicrophone();
    await hear(file);
    clip = file;
    showCommand();
    await refresh();
  } catch (error) {
    complain(error);
  }
}

async function startMicrophone() {
  const address = new URL("/ws/stream", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (token) address.searchParams.set("token", token);
  const client = new FacewaveClient(address.href);
  let sent = 0;
  let began = 0;
  let newest = null;
  let ready = false;
  client.onerror = (error) => {
    complain(error);
    stopMicrophone();
  };
  client.onframe = (frame) => {
    newest = frame.weights;
    const age = performance.now() - began - frame.seconds * 1000;
    get("latency").textContent = `${Math.max(0, age).toFixed(0)} ms from voice to face`;
  };
  const microphone = await openMicrophone((samples) => {
    if (!ready) return;
    if (!sent) began = performance.now() - (samples.length / microphone.sampleRate) * 1000;
    sent += samples.length;
    client.send(samples);
  });
  try {
    const about = await client.start({
      sampleRate: microphone.sampleRate, provider: get("provider-a").value, settings: settings(),
    });
    viewer.setChannels(about.channels);
    newest = new Float32Array(about.channels.length);
  } catch (error) {
    await microphone.stop();
    throw error;
  }
  ready = true;
  clock.pause();
  live = { client, microphone };
  transport.setLive(() => newest);
  get("mic").setAttribute("aria-pressed", "true");
  get("mic").textContent = "Stop the microphone";
  note("Listening: talk.");
}

async function stopMicrophone() {
  if (!live) return;
  const { client, microphone } = live;
  live = null;
  transport.setLive(null);
  client.close();
  await microphone.stop();
  get("mic").setAttribute("aria-pressed", "false");
  get("mic").textContent = "Microphone";
  get("latency").textContent = "";
  note("Choose or drop a recording, or talk.");
  if (transport.take) viewer.setChannels(transport.take.channels);
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function showCommand() {
  const words = ["facewave animate", clip ? quoted(clip.name) : "speech.wav", "-o out.csv"];
  if (get("provider-a").value) words.push("-p", quoted(get("provider-a").value));
  for (const [option, values] of [["--emotion", chosen.emotion], ["--face-parameter", chosen.faceParameters], ["--multiplier", chosen.multipliers]])
    for (const [name, value] of Object.entries(values)) words.push(`${option} ${name}=${value}`);
  if (keys.length) words.push("--emotion-keys keys.json");
  get("command").textContent = words.join(" ");
}

/** A labelled slider; `store` keeps the value while it differs from `rest`. */
function slider(host, name, { minimum, maximum, rest, title, store }) {
  const label = document.createElement("label");
  label.title = title ?? name;
  const shown = document.createElement("output");
  const input = Object.assign(document.createElement("input"), {
    type: "range", min: minimum, max: maximum, step: (maximum - minimum) / 100, value: rest, name,
  });
  shown.textContent = Number(rest).toPrecision(2);
  input.oninput = () => {
    const value = Number(input.value);
    shown.textContent = value.toPrecision(2);
    if (Math.abs(value - rest) < 1e-9) delete store[name];
    else store[name] = Number(value.toFixed(4));
    refreshSoon();
  };
  label.append(name, input, shown);
  host.append(label);
}

function showKeys() {
  get("keys").textContent = keys.length
    ? `Keys at ${keys.map(([t, values]) => `${t.toFixed(2)} s (${Object.keys(values).join(", ") || "neutral"})`).join("; ")}`
    : "";
  refreshSoon();
}

async function ownHead() {
  return (await fetch("/static/head.glb")).arrayBuffer();
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  note(`${name} is written.`);
}

async function save(extension) {
  if (!clip) return complain("Choose a recording first, then export it.");
  try {
    complain("");
    note(`Writing ${extension}…`);
    const answer = await ask("/api/export", { method: "POST", body: form(get("provider-a").value, { format: extension }) });
    download(await answer.blob(), clip.name.replace(/\.[^.]+$/, "") + extension);
  } catch (error) {
    complain(error);
  }
}

function listen() {
  get("audio").onchange = (event) => event.target.files[0] && open(event.target.files[0]);
  get("mic").onclick = () => (live ? stopMicrophone() : startMicrophone().catch(complain));
  get("provider-a").onchange = get("provider-b").onchange = refreshSoon;
  get("add-key").onclick = () => {
    keys = [...keys.filter(([t]) => Math.abs(t - clock.time) > 0.01), [clock.time, { ...chosen.emotion }]].sort((a, b) => a[0] - b[0]);
    showKeys();
  };
  get("clear-keys").onclick = () => {
    keys = [];
    showKeys();
  };
  get("save-keys").onclick = () => {
    if (!keys.length) return complain("There are no keys to save: move the sliders, then set a key at the play head.");
    const list = keys.map(([seconds, values]) => ({ time_code: Number(seconds.toFixed(4)), emotions: values }));
    complain("");
    download(new Blob([JSON.stringify(list, null, 2)], { type: "application/json" }), "keys.json");
  };
  get("avatar").onchange = async (event) => {
    try {
      complain("");
      await viewer.load(await event.target.files[0].arrayBuffer());
      get("avatar-note").textContent = viewer.missing.length
        ? `Without shapes for ${viewer.missing.length} channels: ${viewer.missing.join(", ")}`
        : "All channels found.";
    } catch (error) {
      complain(`That avatar cannot be shown: ${error.message}`);
    }
  };
  get("own-head").onclick = async () => viewer.load(await ownHead());
  get("copy").onclick = () => navigator.clipboard.writeText(get("command").textContent).then(() => note("Copied."), complain);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer.files[0];
    if (file) open(file);
  });
}

async function main() {
  listen();
  info = await (await ask("/api/info")).json();
  viewer.setChannels(info.channels);
  const rows = info.providers.map((p) => [p.usable ? p.name : `${p.name} (not ready)`, p.name, !p.usable, p.description]);
  for (const [id, first] of [["provider-a", "Default"], ["provider-b", "None"]]) {
    const options = rows.map(([label, value, off, title]) => Object.assign(new Option(label, value), { disabled: off, title }));
    get(id).replaceChildren(new Option(first, ""), ...options);
  }
  for (const name of info.emotions) slider(get("emotions"), name, { minimum: 0, maximum: 1, rest: 0, store: chosen.emotion });
  for (const row of info.parameters)
    slider(get("parameters"), row.name, { ...row, rest: row.default, title: `${row.meaning} (${row.unit})`, store: chosen.faceParameters });
  for (const name of ["jawOpen", "mouthClose", "mouthFunnel", "mouthPucker"])
    slider(get("multipliers"), name, { minimum: 0, maximum: 2, rest: 1, store: chosen.multipliers });
  for (const { extension, summary } of info.formats) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: extension, title: summary });
    button.onclick = () => save(extension);
    get("formats").append(button);
  }
  showCommand();
  await viewer.load(await ownHead());
  globalThis.facewave = { viewer, clock, transport, second: () => viewerB };
  document.documentElement.dataset.ready = "true";
}

main().catch(complain);
