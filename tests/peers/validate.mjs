// Print the Khronos glTF validator's report on each file named, as one JSON array.
import { readFile } from "node:fs/promises";
import validator from "gltf-validator";

const reports = await Promise.all(
  process.argv.slice(2).map(async (path) =>
    validator.validateBytes(new Uint8Array(await readFile(path)), { uri: path, maxIssues: 0 }),
  ),
);
console.log(JSON.stringify(reports));
