// What the viewer takes from three.js; everything else is left out of the vendored file.
export {
  Box3, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, HemisphereLight, NeutralToneMapping,
  PCFShadowMap, PerspectiveCamera, Scene, ShaderChunk, ShaderMaterial, Vector3, WebGLRenderer,
} from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
