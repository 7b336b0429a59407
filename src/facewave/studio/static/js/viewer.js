// Draws a head with morph targets. Knows nothing of audio, files or pages: give it weights by channel, it moves the mesh.
import { addLights, finish } from "facewave/light.js";
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
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.toneMapping = THREE.NeutralToneMapping;
    this.renderer.shadowMap.type = THREE.PCFShadowMap;
    this.scene = new THREE.Scene();
    this.key = addLights(this.scene);
    this.setShadows(true);
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
    this.look("front");
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
  }

  /** Show the GLB in `bytes` instead of the head shown now; throws when it holds no morph targets. */
  async load(bytes) {
    const gltf = await new THREE.GLTFLoader().parseAsync(bytes, "");
    const meshes = [];
    gltf.scene.traverse((node) => node.isMesh && node.morphTargetDictionary && meshes.push(node));
    if (!meshes.length) throw new Error("this file holds no mesh with morph targets, so there is nothing to animate");
    if (this.head) this.scene.remove(this.head);
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
    this.setChannels(this.channels);
    this.dirty = true;
  }

  /** Name the numbers that `apply` will get; `missing` lists those that no mesh knows. */
  setChannels(channels) {
    this.channels = [...channels];
    this.position = new Map(this.channels.map((name, i) => [name, i]));
    this.weights = new Float32Array(this.channels.length);
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

  /** Take one frame: weights in the order of the channels. */
  apply(weights) {
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

  /** Shadows cost a second pass over the head; without them the shading painted into it remains. */
  setShadows(on) {
    this.renderer.shadowMap.enabled = on;
    this.key.castShadow = on;
    this.dirty = true;
  }

  /** Tell how many pictures a second there were while things moved; a machine that cannot keep up gets simpler ones. */
  keepUp(fps) {
    this.slow = fps < 30 ? (this.slow ?? 0) + 1 : 0;
    if (this.slow < 2) return;
    this.slow = 0;
    if (this.renderer.shadowMap.enabled) return this.setShadows(false);
    this.mostPixels = 1;
    this.resize();
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
    this.renderer.setPixelRatio(Math.min(this.mostPixels ?? 2, globalThis.devicePixelRatio || 1));
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
    this.renderer.render(this.scene, this.camera);
    this.drawn += 1;
    return true;
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
