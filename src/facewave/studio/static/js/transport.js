// Play bar, channel chooser, views, theme and keys: what the studio and the exported page have in common.
import { COLOURS, Curves } from "facewave/curves.js";

const FIRST_CHANNELS = ["jawOpen", "mouthClose", "mouthFunnel", "mouthPucker"];

/** Wire the elements of the page (found by id) to a viewer and a clock; returns what the page itself must call. */
export function createTransport({ viewer, clock }) {
  const get = (id) => document.getElementById(id);
  let take = null;
  let second = null;
  let chosen = [...FIRST_CHANNELS];
  const curves = new Curves(get("curves"), (t) => clock.seek(t));

  function showLines() {
    const lines = [];
    chosen.forEach((name, i) => {
      const colour = COLOURS[i % COLOURS.length];
      if (second?.channels.includes(name)) lines.push({ name, colour, values: second.curve(name), faint: true });
      if (take?.channels.includes(name)) lines.push({ name, colour, values: take.curve(name) });
    });
    curves.setLines(lines);
    get("legend").replaceChildren(
      ...chosen.map((name, i) => {
        const item = document.createElement("button");
        item.type = "button";
        item.className = "chip";
        item.title = `Hide ${name}`;
        item.setAttribute("aria-label", `Hide the curve of ${name}`);
        item.innerHTML = `<i style="background:${COLOURS[i % COLOURS.length]}"></i>${name}`;
        item.onclick = () => {
          chosen = chosen.filter((other) => other !== name);
          showLines();
        };
        return item;
      }),
    );
  }

  function showTake(next, other = null) {
    take = next;
    second = other;
    viewer.setChannels(next.channels);
    const list = get("add-channel");
    const first = list.options[0];
    list.replaceChildren(first, ...next.liveliest().map((name) => new Option(name, name)));
    curves.setClip(clock.buffer, Math.max(clock.length, 0.001));
    showLines();
  }

  get("add-channel").addEventListener("change", (event) => {
    const name = event.target.value;
    if (name && !chosen.includes(name)) chosen.push(name);
    event.target.selectedIndex = 0;
    showLines();
  });
  const play = get("play");
  play.onclick = () => clock.toggle();
  clock.addEventListener("change", () => {
    play.textContent = clock.playing ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(clock.playing));
  });
  get("quality").value = viewer.choice;
  get("quality").onchange = (event) => viewer.setQuality(event.target.value);
  get("loop").onchange = (event) => clock.setLoop(event.target.checked);
  get("speed").onchange = (event) => clock.setSpeed(Number(event.target.value));
  for (const button of document.querySelectorAll("[data-view]")) button.onclick = () => viewer.look(button.dataset.view);
  get("theme").onclick = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    curves.draw();
  };

  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const frame = take ? 1 / take.fps : 1 / 60;
    const onHead = event.target === viewer.canvas;
    const keys = {
      " ": () => event.target.tagName !== "BUTTON" && clock.toggle(),
      ArrowLeft: () => (onHead ? viewer.turn(-10, 0) : clock.seek(clock.time - (event.shiftKey ? 1 : frame))),
      ArrowRight: () => (onHead ? viewer.turn(10, 0) : clock.seek(clock.time + (event.shiftKey ? 1 : frame))),
      ArrowUp: () => onHead && viewer.turn(0, 8),
      ArrowDown: () => onHead && viewer.turn(0, -8),
      Home: () => clock.seek(0),
      End: () => clock.seek(clock.length),
      l: () => get("loop").click(),
      t: () => get("theme").click(),
    };
    const act = keys[event.key];
    if (act && act() !== false) event.preventDefault();
  });

  let live = null;
  let [marked, drawn, steps] = [performance.now(), 0, 0];
  let shownText = "";
  function step(now) {
    const time = clock.tick();
    if (live) viewer.apply(live());
    else if (take) viewer.apply(take.at(time));
    curves.setTime(time);
    const text = `${time.toFixed(2)} / ${clock.length.toFixed(2)} s`;
    if (text !== shownText) get("time").textContent = shownText = text;
    viewer.render();
    steps += 1;
    if (now - marked > 1000) {
      const seconds = (now - marked) / 1000;
      const fps = Math.round((viewer.drawn - drawn) / seconds);
      get("fps").textContent = fps ? `${fps} fps drawn` : "";
      // A page in the background is not slow, only not looked at; nor is one whose face holds still.
      if ((clock.playing || live) && !document.hidden && seconds < 6) viewer.keepUp(steps / seconds);
      [marked, drawn, steps] = [now, viewer.drawn, 0];
    }
    requestAnimationFrame(step);
  }
  requestAnimationFrame(step);
  return {
    showTake,
    /** Weights from a function instead of the take, until null. */
    setLive: (source) => (live = source),
    get take() {
      return take;
    },
  };
}
