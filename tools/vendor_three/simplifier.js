// What the viewer takes from meshoptimizer.
export { MeshoptSimplifier } from "meshoptimizer/simplifier";
