// How well to draw: the ladder from everything a graphics card can do down to what a processor alone can.

/** From the best down. `pixels`: the most drawn per pixel of the page, in each direction; `plain`: see plain.js, morphs.js. */
export const LEVELS = [
  { plain: false, shadows: true, pixels: 2 },
  { plain: false, shadows: false, pixels: 2 },
  { plain: false, shadows: false, pixels: 1 },
  { plain: true, shadows: false, pixels: 1 },
  { plain: true, shadows: false, pixels: 0.75 },
  { plain: true, shadows: false, pixels: 0.5 },
];
const FIRST_PLAIN = LEVELS.findIndex((level) => level.plain);

/** What a person may choose; "auto" begins where the machine lets it and steps down while it cannot keep up. */
export const CHOICES = ["auto", "full", "fast"];

/**
 * Edges in software: several samples a pixel cost as much as this many pixels in each direction, and leave pinholes where
 * triangles meet (SwiftShader), which show as dark specks on the skin.
 */
export const PIXELS_FOR_EDGES = 1.5;

const ENOUGH = 30;
const FAR_TOO_FEW = 15;

let software;

/** Whether GL here is done by the processor, as in virtual machines, over remote desktops and in tests. */
export function drawnInSoftware() {
  if (software !== undefined) return software;
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return (software = false);
  const about = gl.getExtension("WEBGL_debug_renderer_info");
  const names = [gl.getParameter(gl.RENDERER), about && gl.getParameter(about.UNMASKED_RENDERER_WEBGL)];
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return (software = /swiftshader|llvmpipe|softpipe|swrast|software|basic render/i.test(names.join(" ")));
}

/** The index in LEVELS to begin with. */
export function firstLevel(choice) {
  return choice === "fast" || (choice !== "full" && drawnInSoftware()) ? FIRST_PLAIN : 0;
}

/** Decides when to step down, from how often a second the page could draw. */
export class Pace {
  #slow = 0;

  /** True when it is time for the next level: two slow seconds running, or one very slow one. */
  tooSlow(perSecond) {
    this.#slow = perSecond < ENOUGH ? this.#slow + (perSecond < FAR_TOO_FEW ? 2 : 1) : 0;
    if (this.#slow < 2) return false;
    // The first second of a new level is spent on preparing it.
    this.#slow = -2;
    return true;
  }
}
