// What the viewer takes from three.js; everything else is left out of the vendored file.
export {
  Box3, DirectionalLight, HemisphereLight, NeutralToneMapping, PerspectiveCamera, Scene, Vector3, WebGLRenderer, Color,
} from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
