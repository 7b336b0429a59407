// The lights, and what makes skin look like skin: light goes in, wanders, and comes out redder past the edge of the shadow.
import * as THREE from "three";

/** Colour, strength and where from; the first throws the shadow, the last two come from behind. */
export const LAMPS = [
  [0xfff0df, 2.5, [0.34, 0.42, 0.72]],
  [0xcfdcff, 0.55, [-0.8, 0.05, 0.6]],
  [0xdfe8ff, 1.4, [-0.55, 0.5, -0.75]],
  [0xffe9d6, 0.7, [0.8, 0.25, -0.6]],
];
/** Colour from above, colour from below, strength. Plain: an environment map would look little better here. */
export const SKY = [0xe9efff, 0xb98f7c, 1.25];

/** How far, by colour, light that entered skin wanders on past the edge of the shadow. */
export const REACH = [0.38, 0.16, 0.11];

/** Put the lights into a scene; returns the one that throws shadows. */
export function addLights(scene) {
  scene.add(new THREE.HemisphereLight(...SKY));
  const [key] = LAMPS.map(([colour, strength, from]) => {
    const source = new THREE.DirectionalLight(colour, strength);
    source.position.set(...from);
    scene.add(source);
    return source;
  });
  key.castShadow = true;
  key.shadow.mapSize.set(1024, 1024);
  Object.assign(key.shadow.camera, { left: -0.19, right: 0.19, top: 0.19, bottom: -0.19, near: 0.5, far: 1.4 });
  key.shadow.bias = -0.0004;
  key.shadow.normalBias = 0.004;
  key.shadow.radius = 3;
  key.shadow.intensity = 0.75;
  return key;
}

const IRRADIANCE = "vec3 irradiance = dotNL * directLight.color;";
const SHINE = "reflectedLight.directSpecular += irradiance * specularBRDF * material.multiScatteringCompensation;";
const EDGE = "reflectedLight.directDiffuse += irradiance * diffuseBRDF * ( 1.0 - F );";

// The lights behind the head throw no shadow; they must not shine through it into the mouth.
const BEHIND = "smoothstep( 0.0, 0.5, dot( directLight.direction, geometryViewDir ) )";

const SKIN = [
  [IRRADIANCE, `float open = mix( ${BEHIND}, 1.0, smoothstep( 0.1, 0.5, vColor.a ) );
  vec3 irradiance = open * dotNL * directLight.color;`],
  // What is painted dark and dry (corners, the ground of the hair) does not shine.
  [SHINE, `irradiance *= max( 1.0 - vColor.a, smoothstep( 0.02, 0.22, vColor.g ) );
  ${SHINE}`],
  [EDGE, `float facing = dot( geometryNormal, directLight.direction );
  vec3 reach = vec3( ${REACH.join(", ")} );
  vec3 entered = saturate( ( facing + reach ) / ( ( 1.0 + reach ) * ( 1.0 + reach ) ) );
  reflectedLight.directDiffuse += open * entered * directLight.color * diffuseBRDF * ( 1.0 - F );`],
];
const INSIDE = [[IRRADIANCE, `vec3 irradiance = ${BEHIND} * dotNL * directLight.color;`]];
const CHANGES = { skin: SKIN, wet: INSIDE, teeth: INSIDE };

/**
 * Finish the materials of the bundled head, known by their names: skin scatters light, and the alpha of its vertex colours
 * tells where it is wet (0) or dry (1); the inside of the mouth is lit from in front alone.
 */
export function finish(material) {
  const changes = CHANGES[material.name];
  if (!changes || !material.vertexColors) return;
  material.onBeforeCompile = (shader) => {
    const lights = changes.reduce((text, [from, to]) => text.replace(from, to), THREE.ShaderChunk.lights_physical_pars_fragment);
    shader.fragmentShader = shader.fragmentShader.replace("#include <lights_physical_pars_fragment>", lights);
    if (changes === SKIN)
      shader.fragmentShader = shader.fragmentShader.replace(
        "#include <roughnessmap_fragment>",
        "#include <roughnessmap_fragment>\n  roughnessFactor = mix( 0.25, roughnessFactor, vColor.a );",
      );
  };
  material.customProgramCacheKey = () => material.name;
}
