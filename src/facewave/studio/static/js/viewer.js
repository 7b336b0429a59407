// Draws a head with morph targets. Knows nothing of audio, files or pages: give it weights by channel, it moves the mesh.
import { coarser } from "facewave/coarse.js";
import { addLights, finish } from "facewave/light.js";
import { Morphs } from "facewave/morphs.js";
import { plain } from "facewave/plain.js";
import { CHOICES, drawnInSoftware, firstLevel, LEVELS, Pace, PIXELS_FOR_EDGES } from "facewave/quality.js";
import * as THREE from "three";

/** Where the camera stands and what it looks at, metres, for a head whose eyes are 62 mm apart. */
export const VIEWS = {
  front: { from: [0, -0.015, 0.70], to: [0, -0.03, -0.03] },
  three: { from: [0.36, -0.005, 0.58], to: [0.005, -0.03, -0.04] },
  side: { from: [0.70, -0.015, 0.02], to: [0, -0.03, -0.05] },
  mouth: { from: [0, -0.075, 0.3], to: [0, -0.075, 0] },
};

/** `Face.mouthSmile_L` and `mouthSmileLeft` become the same word. */
export function plainName(name) {
  const last = name.slice(name.lastIndexOf(".") + 1);
  const sided = last.replace(/[_\-\s]?L$/, (m, i) => (/[a-z_\-\s]/.test(last[i - 1] ?? "") || m.length > 1 ? "Left" : m))
    .replace(/[_\-\s]?R$/, (m, i) => (/[a-z_\-\s]/.test(last[i - 1] ?? "") || m.length > 1 ? "Right" : m));
  return sided.replace(/[_\-\s]/g, "").toLowerCase();
}

export class Viewer {
  /** @param choice one of CHOICES: how well to draw. */
  constructor(canvas, choice = "auto") {
    this.canvas = canvas;
    this.scene = new THREE.Scene();
    this.key = addLights(this.scene);
    this.camera = new THREE.PerspectiveCamera(24, 1, 0.01, 50);
    this.orbit = new THREE.OrbitControls(this.camera, canvas);
    this.orbit.enablePan = false;
    this.orbit.addEventListener("change", () => (this.dirty = true));
    this.channels = [];
    this.bound = [];
    this.missing = [];
    this.scale = 1;
    this.offset = new THREE.Vector3();
    this.drawn = 0;
    this.dirty = true;
    this.weights = new Float32Array(0);
    this.stand = new Map();
    this.setQuality(choice);
    this.look("front");
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  /** Show the GLB in `bytes` instead of the head shown now; throws when it holds no morph targets. */
  async load(bytes) {
    const gltf = await new THREE.GLTFLoader().parseAsync(bytes, "");
    const meshes = [];
    gltf.scene.traverse((node) => node.isMesh && node.morphTargetDictionary && meshes.push(node));
    if (!meshes.length) throw new Error("this file holds no mesh with morph targets, so there is nothing to animate");
    if (this.head) this.scene.remove(this.head);
    this.stand.clear();
    this.head = gltf.scene;
    this.meshes = meshes;
    this.limits = null;
    gltf.scene.traverse((node) => (this.limits ??= node.userData?.limits ?? null));
    gltf.scene.traverse((node) => {
      if (!node.isMesh) return;
      finish(node.material);
      node.castShadow = !node.material.transparent;
      node.receiveShadow = true;
    });
    this.scene.add(gltf.scene);
    this.#frame(gltf.scene);
    this.#dress();
    this.setChannels(this.channels);
    this.dirty = true;
  }

  /** Name the numbers that `apply` will get; `missing` lists those that no mesh knows. */
  setChannels(channels) {
    this.channels = [...channels];
    this.position = new Map(this.channels.map((name, i) => [name, i]));
    this.weights = new Float32Array(this.channels.length);
    this.applied = false;
    const wanted = new Map(this.channels.map((name, i) => [plainName(name), i]));
    const found = new Set();
    this.bound = (this.meshes ?? []).map((mesh) => {
      const pairs = [];
      for (const [name, target] of Object.entries(mesh.morphTargetDictionary)) {
        const channel = wanted.get(plainName(name));
        if (channel !== undefined) {
          pairs.push([target, channel]);
          found.add(channel);
        }
      }
      // An eyeball turns with its gaze even where the lids hold theirs back.
      const gazeOnly = pairs.every(([, channel]) => this.channels[channel].startsWith("eyeLook"));
      return { mesh, pairs, gazeOnly };
    });
    this.missing = this.channels.filter((_, i) => !found.has(i));
  }

  /** Take one frame: weights in the order of the channels. The same again changes nothing. */
  apply(weights) {
    if (this.applied && this.weights.every((weight, i) => weight === Math.fround(weights[i]))) return;
    this.applied = true;
    this.weights.set(weights);
    const limited = this.limits ? this.#limited(weights) : weights;
    for (const { mesh, pairs, gazeOnly } of this.bound) {
      const from = gazeOnly ? weights : limited;
      for (const [target, channel] of pairs) mesh.morphTargetInfluences[target] = from[channel];
    }
    this.dirty = true;
  }

  /** What the mesh shows for a channel now (after the limits), or NaN. */
  shown(channel) {
    for (const { mesh, pairs } of this.bound)
      for (const [target, index] of pairs) if (this.channels[index] === channel) return mesh.morphTargetInfluences[target];
    return NaN;
  }

  /** Draw as well as a person chose (see CHOICES). */
  setQuality(choice) {
    this.choice = CHOICES.includes(choice) ? choice : "auto";
    this.pace = new Pace();
    this.setLevel(firstLevel(this.choice));
  }

  /** Draw by a row of LEVELS. */
  setLevel(level) {
    if (level === this.level) return;
    this.level = level;
    const { plain: simple, shadows } = LEVELS[level];
    if (simple !== this.simple) {
      this.simple = simple;
      this.#open();
      this.#dress();
    }
    // Shadows cost a second pass over the head; without them the shading painted into it remains.
    this.renderer.shadowMap.enabled = shadows;
    this.key.castShadow = shadows;
    this.resize();
  }

  /** Tell how often a second the page drew while things moved; a machine that cannot keep up gets simpler pictures. */
  keepUp(perSecond) {
    if (this.choice === "full" || !this.pace.tooSlow(perSecond)) return;
    this.setLevel(Math.min(this.level + 1, LEVELS.length - 1));
  }

  /** One of the named views, or a view of one's own. */
  look(name) {
    const view = VIEWS[name] ?? name;
    this.camera.position.set(...view.from).multiplyScalar(this.scale).add(this.offset);
    this.orbit.target.set(...view.to).multiplyScalar(this.scale).add(this.offset);
    this.orbit.update();
    this.dirty = true;
  }

  /** Turn the camera by degrees, for keyboards. */
  turn(horizontal, vertical) {
    const arm = this.camera.position.clone().sub(this.orbit.target);
    const flat = Math.hypot(arm.x, arm.z);
    const yaw = Math.atan2(arm.x, arm.z) + (horizontal * Math.PI) / 180;
    const pitch = Math.max(-1.2, Math.min(1.2, Math.atan2(arm.y, flat) + (vertical * Math.PI) / 180));
    const length = arm.length();
    arm.set(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)).multiplyScalar(length);
    this.camera.position.copy(this.orbit.target).add(arm);
    this.orbit.update();
    this.dirty = true;
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const [width, height] = [Math.max(1, Math.floor(box.width)), Math.max(1, Math.floor(box.height))];
    const edges = !this.simple && drawnInSoftware() ? PIXELS_FOR_EDGES : 1;
    this.renderer.setPixelRatio(edges * Math.min(LEVELS[this.level].pixels, globalThis.devicePixelRatio || 1));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.fov = width < height ? 30 : 24;
    this.camera.updateProjectionMatrix();
    this.dirty = true;
  }

  /** Draw if anything changed since the last time. */
  render() {
    if (!this.dirty) return false;
    this.dirty = false;
    if (this.simple) for (const [mesh, { morphs }] of this.stand) morphs?.apply(mesh.morphTargetInfluences);
    this.renderer.render(this.scene, this.camera);
    this.drawn += 1;
    return true;
  }

  /** A renderer for the way of drawing now wanted: whether edges are smoothed is settled when a canvas is opened. */
  #open() {
    if (this.renderer) {
      this.renderer.dispose();
      this.renderer.forceContextLoss();
      const fresh = this.canvas.cloneNode();
      const focused = document.activeElement === this.canvas;
      this.canvas.replaceWith(fresh);
      this.canvas = fresh;
      this.orbit.disconnect();
      this.orbit.connect(fresh);
      if (focused) fresh.focus();
    }
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: !this.simple && !drawnInSoftware(), alpha: true });
    this.renderer.toneMapping = THREE.NeutralToneMapping;
    this.renderer.shadowMap.type = THREE.PCFShadowMap;
  }

  /** Give every mesh the geometry and the material of the way of drawing now in use. */
  #dress() {
    const kinds = new Map();
    const cheap = (material) => {
      if (!kinds.has(material)) kinds.set(material, plain(material));
      return kinds.get(material);
    };
    this.head?.traverse((mesh) => {
      if (!mesh.isMesh) return;
      let own = this.stand.get(mesh);
      if (!own) this.stand.set(mesh, (own = { geometry: mesh.geometry, material: mesh.material }));
      if (this.simple) {
        if (own.geometry.morphAttributes.position) own.morphs ??= new Morphs(own.geometry);
        own.light ??= own.morphs?.geometry ?? own.geometry;
        own.cheap ??= Array.isArray(own.material) ? own.material.map(cheap) : cheap(own.material);
      }
      mesh.geometry = this.simple ? own.light : own.geometry;
      mesh.material = this.simple ? own.cheap : own.material;
    });
    if (this.simple) this.thinned = this.#thin();
    this.dirty = true;
  }

  /** Fewer triangles for the simple way of drawing, mesh by mesh, after the first picture is out. */
  async #thin() {
    for (const [mesh, own] of this.stand) {
      if (own.thin) continue;
      own.thin = true;
      await new Promise((done) => setTimeout(done));
      const { morphs } = own;
      own.light = await coarser(own.light, morphs?.shapes);
      if (morphs) morphs.geometry = own.light;
      if (this.simple) mesh.geometry = own.light;
      this.dirty = true;
    }
  }

  #limited(weights) {
    const out = Float32Array.from(weights);
    const clamp = (x) => Math.min(1, Math.max(0, x));
    for (const [shape, by, amount] of this.limits.fades ?? []) {
      const [i, j] = [this.position.get(shape), this.position.get(by)];
      if (i !== undefined && j !== undefined) out[i] *= 1 - amount * clamp(weights[j]);
    }
    for (const [shape, other] of this.limits.caps ?? []) {
      const [i, j] = [this.position.get(shape), this.position.get(other)];
      if (i !== undefined && j !== undefined) out[i] = Math.min(out[i], clamp(weights[j]));
    }
    return out;
  }

  /** Fit the views to avatars of other sizes: the highest mesh with face shapes is taken for the head. */
  #frame(root) {
    this.scale = 1;
    this.offset.set(0, 0, 0);
    if (this.limits) return this.look("front");
    const box = new THREE.Box3();
    const face = this.meshes.filter((mesh) => Object.keys(mesh.morphTargetDictionary).some((n) => plainName(n) === "jawopen"));
    root.updateMatrixWorld(true);
    for (const mesh of face.length ? face : this.meshes) box.expandByObject(mesh);
    const size = box.getSize(new THREE.Vector3());
    const height = Math.min(size.y, size.x * 1.4);
    this.scale = height / 0.24;
    this.offset.set((box.min.x + box.max.x) / 2, box.max.y - height * 0.45, (box.min.z + box.max.z) / 2);
    this.look("front");
  }
}
