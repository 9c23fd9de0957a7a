import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FormatError, parseDocument } from "../src/index.js";

interface Case {
  file: string;
  valid: boolean;
}

/** The documents with which histio is tested as well. */
const SHARED = new URL("../../../../tests/documents/", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, SHARED), "utf8");
const { cases } = JSON.parse(read("cases.json")) as { cases: Case[] };

for (const { file } of cases.filter(({ valid }) => valid)) {
  test(`a valid document is accepted: ${file}`, () => {
    assert.deepEqual(parseDocument(read(file)), JSON.parse(read(file)));
  });
}

for (const { file } of cases.filter(({ valid }) => !valid)) {
  test(`an invalid document is refused: ${file}`, () => {
    assert.throws(() => parseDocument(read(file)), FormatError);
  });
}

test("what is wrong is told with its place", () => {
  const document = '{"version": "1.0", "production_runs": [], "assembly_runs": [{"uuid": 1}]}';
  assert.throws(() => parseDocument(document), { pointer: "/assembly_runs/0/finished_good_slug", line: undefined });
  assert.throws(() => parseDocument('{"version": "2.0", "production_runs": []}'), /\/version: must be "1.0"/);
  assert.throws(() => parseDocument('{"version": "1.0"}'), /must have ingredients or .* or assembly_runs$/);
  assert.throws(() => parseDocument("{"), /not JSON/);
});
