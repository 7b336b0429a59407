// Morph targets summed by the processor: where GL runs in software, a shader that sums all of them for every vertex costs
// more than going through the few vertices that the few active shapes move.
import { BufferAttribute, BufferGeometry } from "three";

/** The numbers of an attribute in three columns, whatever it is stored as. */
export function columns(attribute) {
  const out = new Float32Array(attribute.count * 3);
  for (let i = 0; i < attribute.count; i++) {
    out[3 * i] = attribute.getX(i);
    out[3 * i + 1] = attribute.getY(i);
    out[3 * i + 2] = attribute.getZ(i);
  }
  return out;
}

/** The vertices that one shape moves or turns, and by how much. */
function sparse(moves, turns) {
  const rows = [];
  const still = (values, i) => !values || (values[i] === 0 && values[i + 1] === 0 && values[i + 2] === 0);
  for (let i = 0; i < moves.length; i += 3) if (!still(moves, i) || !still(turns, i)) rows.push(i);
  const pick = (values) => values && Float32Array.from({ length: rows.length * 3 }, (_, k) => values[rows[(k / 3) | 0] + (k % 3)]);
  return { rows: Uint32Array.from(rows), moves: pick(moves), turns: pick(turns) };
}

function add(sum, rows, values, weight) {
  for (let k = 0, j = 0; k < rows.length; k++, j += 3) {
    const i = rows[k];
    sum[i] += weight * values[j];
    sum[i + 1] += weight * values[j + 1];
    sum[i + 2] += weight * values[j + 2];
  }
}

/** A geometry that shares everything with the source but the morph targets. */
export function sharing(source) {
  const out = new BufferGeometry();
  for (const [name, attribute] of Object.entries(source.attributes)) out.setAttribute(name, attribute);
  out.setIndex(source.index);
  for (const { start, count, materialIndex } of source.groups) out.addGroup(start, count, materialIndex);
  out.boundingSphere = source.boundingSphere;
  return out;
}

export class Morphs {
  /** @param {BufferGeometry} source with relative morph targets, as glTF has them; it is left as it is. */
  constructor(source) {
    this.points = columns(source.attributes.position);
    this.normals = source.attributes.normal && columns(source.attributes.normal);
    const turned = (this.normals && source.morphAttributes.normal) ?? [];
    this.shapes = source.morphAttributes.position.map((moves, i) => sparse(columns(moves), turned[i] && columns(turned[i])));
    this.shown = new Float32Array(this.shapes.length);
    /** The geometry to draw: everything of the source but the targets, with points and normals of its own. */
    this.geometry = sharing(source);
    this.geometry.setAttribute("position", new BufferAttribute(this.points.slice(), 3));
    if (this.normals) this.geometry.setAttribute("normal", new BufferAttribute(this.normals.slice(), 3));
  }

  /** Sum the shapes with these weights into the geometry; false when they are those of the last time. */
  apply(weights) {
    if (this.shown.every((weight, i) => weight === Math.fround(weights[i]))) return false;
    this.shown.set(weights);
    const { position, normal } = this.geometry.attributes;
    position.array.set(this.points);
    if (this.normals) normal.array.set(this.normals);
    this.shapes.forEach(({ rows, moves, turns }, i) => {
      const weight = this.shown[i];
      if (weight === 0) return;
      add(position.array, rows, moves, weight);
      if (turns) add(normal.array, rows, turns, weight);
    });
    position.needsUpdate = true;
    if (this.normals) normal.needsUpdate = true;
    return true;
  }
}
