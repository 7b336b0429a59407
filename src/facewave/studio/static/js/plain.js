// The cheap material: the same lights, reckoned at the corners of the triangles instead of at every pixel, without shadows.
import { LAMPS, REACH, SKY } from "facewave/light.js";
import * as THREE from "three";

const vec3 = (values) => `vec3(${[...values].map((x) => x.toFixed(5)).join(", ")})`;
const radiance = (colour, strength) => vec3(new THREE.Color(colour).toArray().map((x) => (x * strength) / Math.PI));
const towards = (from) => vec3(new THREE.Vector3(...from).normalize());

const TO_SCREEN = `
// The neutral tone curve of the Khronos group, then sRGB.
vec3 toScreen(vec3 c) {
  float low = min(c.r, min(c.g, c.b));
  c -= low < 0.08 ? low - 6.25 * low * low : 0.04;
  float peak = max(c.r, max(c.g, c.b));
  if (peak >= 0.76) {
    float pressed = 1.0 - 0.0576 / (peak - 0.52);
    c = mix(vec3(pressed), c * pressed / peak, 1.0 / (0.15 * (peak - pressed) + 1.0));
  }
  return mix(1.055 * pow(max(c, 0.0), vec3(0.41666)) - 0.055, 12.92 * c, vec3(lessThanEqual(c, vec3(0.0031308))));
}`;

const SHINE = `
vec3 shine(vec3 n, vec3 v, vec3 l, float power) {
  return vec3(0.005 * (power + 2.0) * pow(max(dot(n, normalize(l + v)), 0.0), power) * max(dot(n, l), 0.0));
}`;

const LAMP = ([colour, strength, from]) => `{
  vec3 l = ${towards(from)};
  vec3 light = ${radiance(colour, strength)};
  float facing = dot(n, l);
  #if defined(SKIN)
    light *= mix(smoothstep(0.0, 0.5, dot(l, v)), 1.0, smoothstep(0.1, 0.5, dry));
    vec3 entered = clamp((facing + REACH) / ((1.0 + REACH) * (1.0 + REACH)), 0.0, 1.0);
    lit += entered * light;
    glint += max(1.0 - dry, smoothstep(0.02, 0.22, paint.g)) * shine(n, v, l, power) * light;
  #else
    #ifdef INSIDE
      light *= smoothstep(0.0, 0.5, dot(l, v));
    #endif
    lit += max(facing, 0.0) * light;
    glint += shine(n, v, l, power) * light;
  #endif
}`;

const VERTEX = `
#include <skinning_pars_vertex>
#define REACH ${vec3(REACH)}
uniform vec3 tint;
uniform float opacity;
uniform float roughness;
varying vec4 vShown;
#ifdef PICTURE
  varying vec2 vAt;
  varying vec3 vGlint;
#endif
#ifdef GLOSS
  varying vec3 vNormalOut;
  varying vec3 vToEye;
#endif
${TO_SCREEN}
${SHINE}
void main() {
  #include <beginnormal_vertex>
  #include <skinbase_vertex>
  #include <skinnormal_vertex>
  #include <begin_vertex>
  #include <skinning_vertex>
  vec4 world = modelMatrix * vec4(transformed, 1.0);
  gl_Position = projectionMatrix * viewMatrix * world;
  vec3 n = normalize(mat3(modelMatrix) * objectNormal);
  vec3 v = normalize(cameraPosition - world.xyz);
  #ifdef BOTH_SIDES
    if (dot(n, v) < 0.0) n = -n;
  #endif
  vec3 paint = tint;
  float alpha = opacity;
  float dry = 1.0;
  #if defined(USE_COLOR_ALPHA)
    paint *= color.rgb;
    #ifdef SKIN
      dry = color.a;
    #else
      alpha *= color.a;
    #endif
  #elif defined(USE_COLOR)
    paint *= color;
  #endif
  // Small bright spots would jump from corner to corner.
  float rough = max(mix(0.25, roughness, dry), 0.42);
  float power = 2.0 / (rough * rough * rough * rough) - 2.0;
  vec3 lit = mix(${radiance(SKY[1], SKY[2])}, ${radiance(SKY[0], SKY[2])}, 0.5 + 0.5 * n.y);
  vec3 glint = vec3(0.0);
  ${LAMPS.map(LAMP).join("\n  ")}
  #ifdef GLOSS
    vNormalOut = n;
    vToEye = v;
    glint = vec3(0.0);
  #endif
  #ifdef PICTURE
    vAt = uv;
    vGlint = glint;
    vShown = vec4(paint * lit, alpha);
  #else
    vShown = vec4(toScreen(paint * lit + glint), alpha);
  #endif
}`;

const FRAGMENT = `
varying vec4 vShown;
#ifdef PICTURE
  uniform sampler2D picture;
  uniform float alphaTest;
  varying vec2 vAt;
  varying vec3 vGlint;
  ${TO_SCREEN}
#endif
#ifdef GLOSS
  varying vec3 vNormalOut;
  varying vec3 vToEye;
  ${SHINE}
#endif
void main() {
  vec4 shown = vShown;
  #ifdef PICTURE
    vec4 texel = texture2D(picture, vAt);
    shown.a *= texel.a;
    if (shown.a < alphaTest) discard;
    vec3 glint = vGlint;
    #ifdef GLOSS
      glint += shine(normalize(vNormalOut), normalize(vToEye), ${towards(LAMPS[0][2])}, 900.0) * ${radiance(...LAMPS[0])};
    #endif
    shown.rgb = toScreen(shown.rgb * texel.rgb + glint);
  #endif
  #ifdef OPAQUE
    shown.a = 1.0;
  #endif
  gl_FragColor = shown;
}`;

const INSIDE = ["wet", "teeth"];

/** A cheap stand-in for a standard material; any other is given back as it is. */
export function plain(material) {
  if (!material.isMeshStandardMaterial) return material;
  const painted = material.vertexColors;
  const seeThrough = material.transmission > 0;
  const defines = {};
  if (material.name === "skin" && painted) defines.SKIN = "";
  if (INSIDE.includes(material.name) && painted) defines.INSIDE = "";
  if (material.side === THREE.DoubleSide) defines.BOTH_SIDES = "";
  if (material.map) defines.PICTURE = "";
  if (material.map && material.roughness < 0.2) defines.GLOSS = "";
  if (!material.transparent && !seeThrough) defines.OPAQUE = "";
  return new THREE.ShaderMaterial({
    name: material.name,
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    defines,
    uniforms: {
      tint: { value: material.color },
      opacity: { value: seeThrough ? 0.15 : material.opacity },
      roughness: { value: material.roughness },
      picture: { value: material.map },
      alphaTest: { value: material.alphaTest },
    },
    vertexColors: painted,
    side: material.side,
    transparent: material.transparent || seeThrough,
    depthWrite: material.depthWrite && !seeThrough,
  });
}
