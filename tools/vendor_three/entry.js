// What the viewer takes from three.js; everything else is left out of the vendored file.
export {
  ACESFilmicToneMapping, AmbientLight, Box3, Clock, Color, DirectionalLight, Group, HemisphereLight, Mesh,
  MeshPhysicalMaterial, MeshStandardMaterial, NeutralToneMapping, PMREMGenerator, PerspectiveCamera, Scene,
  SRGBColorSpace, Vector3, WebGLRenderer,
} from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
