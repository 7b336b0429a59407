// Fewer triangles over the same vertices: where GL runs in software, every triangle costs, however small it is drawn.
import { columns, sharing } from "facewave/morphs.js";
import { MeshoptSimplifier } from "meshoptimizer";
import { BufferAttribute } from "three";

/** Share of the triangles to keep, and the error that ends the thinning earlier, as a share of the mesh's size. */
const KEPT = 0.3;
const WORST = 0.01;
const FEWEST = 300;

/** What a change of normal, of colour, and of what a shape does costs, next to a change of place. */
const WEIGHTS = { normal: 0.35, color: 0.8, shape: 1.0 };
const SHAPES = 8;

const size = (values) => {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
};

/**
 * The geometry with a coarser index, or as it came where thinning is not worth it.
 * @param shapes [{rows, moves}], as in morphs.js: what those that move most do is kept with care
 */
export async function coarser(geometry, shapes = []) {
  const { index, attributes, groups } = geometry;
  if (!index || index.count < 3 * FEWEST || groups.length || !MeshoptSimplifier.supported) return geometry;
  await MeshoptSimplifier.ready;
  const points = columns(attributes.position);
  const scale = 1 / size(points);
  const felt = shapes
    .map(({ rows, moves }) => ({ rows, moves, reach: rows.length * size(moves) }))
    .sort((a, b) => b.reach - a.reach)
    .slice(0, SHAPES)
    .map(({ rows, moves }) => {
      const dense = new Float32Array(points.length);
      rows.forEach((row, k) => [0, 1, 2].forEach((axis) => (dense[row + axis] = moves[3 * k + axis] * scale)));
      return [dense, WEIGHTS.shape];
    });
  const painted = ["normal", "color"].filter((name) => attributes[name]).map((name) => [columns(attributes[name]), WEIGHTS[name]]);
  const watched = [...painted, ...felt];
  const width = 3 * watched.length;
  const table = new Float32Array((points.length / 3) * width);
  watched.forEach(([values], c) => {
    for (let i = 0; i < points.length; i++) table[Math.floor(i / 3) * width + 3 * c + (i % 3)] = values[i];
  });
  const weights = watched.flatMap(([, weight]) => [weight, weight, weight]);
  const target = 3 * Math.ceil((KEPT * index.count) / 3);
  const [kept] = MeshoptSimplifier.simplifyWithAttributes(
    Uint32Array.from(index.array), points, 3, table, width, weights, null, target, WORST,
  );
  const out = sharing(geometry);
  out.setIndex(new BufferAttribute(kept, 1));
  return out;
}
