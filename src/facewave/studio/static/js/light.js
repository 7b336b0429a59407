// The lights, and what makes skin look like skin: light goes in, wanders, and comes out redder past the edge of the shadow.
import * as THREE from "three";

/** Put the lights into a scene; returns the one that throws shadows. */
export function addLights(scene) {
  const light = (colour, strength, x, y, z) => {
    const source = new THREE.DirectionalLight(colour, strength);
    source.position.set(x, y, z);
    scene.add(source);
    return source;
  };
  // Plain lights: an environment map would look little better here and costs seconds where GL is done in software.
  scene.add(new THREE.HemisphereLight(0xe9efff, 0xb98f7c, 1.25));
  const key = light(0xfff0df, 2.5, 0.34, 0.42, 0.72);
  light(0xcfdcff, 0.55, -0.8, 0.05, 0.6);
  light(0xdfe8ff, 1.4, -0.55, 0.5, -0.75);
  light(0xffe9d6, 0.7, 0.8, 0.25, -0.6);
  key.castShadow = true;
  key.shadow.mapSize.set(1024, 1024);
  Object.assign(key.shadow.camera, { left: -0.19, right: 0.19, top: 0.19, bottom: -0.19, near: 0.5, far: 1.4 });
  key.shadow.bias = -0.0004;
  key.shadow.normalBias = 0.003;
  key.shadow.radius = 3;
  key.shadow.intensity = 0.75;
  return key;
}

const EDGE = "reflectedLight.directDiffuse += irradiance * diffuseBRDF * ( 1.0 - F );";
const SHINE = "reflectedLight.directSpecular += irradiance * specularBRDF * material.multiScatteringCompensation;";
// What is painted dark and dry (corners, the ground of the hair) does not shine.
const DULL = `
  #ifdef USE_COLOR_ALPHA
    irradiance *= max( 1.0 - vColor.a, smoothstep( 0.02, 0.22, vColor.g ) );
  #endif
  ${SHINE}`;
const SOFT_EDGE = `
  float facing = dot( geometryNormal, directLight.direction );
  vec3 reach = vec3( 0.38, 0.16, 0.11 );
  vec3 entered = saturate( ( facing + reach ) / ( ( 1.0 + reach ) * ( 1.0 + reach ) ) );
  reflectedLight.directDiffuse += entered * directLight.color * diffuseBRDF * ( 1.0 - F );`;

/** Make a material called `skin` scatter light, and let the alpha of its vertex colours tell where it is wet (0) or dry (1). */
export function soften(material) {
  if (material.name !== "skin") return;
  material.onBeforeCompile = (shader) => {
    const lights = THREE.ShaderChunk.lights_physical_pars_fragment.replace(EDGE, SOFT_EDGE).replace(SHINE, DULL);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <lights_physical_pars_fragment>", lights)
      .replace(
        "#include <roughnessmap_fragment>",
        `#include <roughnessmap_fragment>
        #ifdef USE_COLOR_ALPHA
          roughnessFactor = mix( 0.25, roughnessFactor, vColor.a );
        #endif`,
      );
  };
}
