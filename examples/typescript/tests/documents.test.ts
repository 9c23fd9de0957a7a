import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { FormatError, parseDocument } from "../src/index.js";

/** The documents by which histio, jsonschema and ajv are tested as well. */
const SHARED = new URL("../../../../tests/documents/", import.meta.url);

function shared(folder: string): [string, string][] {
  const directory = new URL(folder, SHARED);
  return readdirSync(directory).map((name) => [name, readFileSync(new URL(name, directory), "utf8")]);
}

for (const [name, text] of shared("valid/")) {
  test(`a valid document is taken: ${name}`, () => {
    assert.deepEqual(parseDocument(text), JSON.parse(text));
  });
}

const invalid = shared("invalid/").map(([name, text]) => ({ name, portable: true, ...JSON.parse(text) }));

// What is not portable, no JSON Schema can say.
for (const { name, document } of invalid.filter(({ portable }) => portable)) {
  test(`an invalid document is refused: ${name}`, () => {
    assert.throws(() => parseDocument(JSON.stringify(document)), FormatError);
  });
}

test("what is wrong is told with its place", () => {
  const document = '{"version": "1.0", "production_runs": [], "assembly_runs": [{"uuid": 1}]}';
  assert.throws(() => parseDocument(document), { pointer: "/assembly_runs/0", line: undefined });
  assert.throws(() => parseDocument('{"version": "2.0", "production_runs": []}'), /\/version: must be "1.0"/);
  assert.throws(() => parseDocument("{"), /not JSON/);
});
