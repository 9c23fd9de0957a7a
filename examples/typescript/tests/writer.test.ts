import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { CATALOG_KINDS, CorruptError, FormatError, readStream, writeStream, type Item, type Run } from "../src/index.js";
import { assembled, baked, ROWS, RUNS } from "./runs.js";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "histio-"));
  path = join(directory, "runs.jsonl");
});

afterEach(() => rm(directory, { recursive: true }));

async function itemsOf(file: string): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of readStream(file)) items.push(item);
  return items;
}

const headerOf = async (file: string) => JSON.parse(`${await readFile(file)}`.split("\n")[0]!).header;

test("what was written is read again, compressed or not", async () => {
  for (const file of [path, `${path}.gz`]) {
    const trailer = await writeStream(file, RUNS);
    assert.deepEqual(trailer.counts, { production_run: 2, assembly_run: 1 });
    assert.deepEqual(await itemsOf(file), RUNS);
  }
  assert.deepEqual((await readFile(`${path}.gz`)).subarray(0, 2), Buffer.of(0x1f, 0x8b));
});

test("a stream without runs is whole", async () => {
  await writeStream(path, []);
  assert.deepEqual(await itemsOf(path), []);
});

test("the header tells when, which kinds, and what came before", async () => {
  const names = { follows: "0".repeat(64), follows_header: "1".repeat(64) };
  await writeStream(path, [], { exported_at: "2026-01-01T00:00:00Z", kinds: ["assembly_run"], ...names });
  const header = { version: "1.0", exported_at: "2026-01-01T00:00:00Z", kinds: ["assembly_run"], ...names };
  assert.deepEqual(await headerOf(path), header);
});

test("a copy has the same digest", async () => {
  const { sha256 } = await writeStream(path, RUNS);
  assert.equal((await writeStream(`${path}.gz`, readStream(path))).sha256, sha256);
});

test("rows of the catalog come before the runs, and do not change their digest", async () => {
  const bare = await writeStream(path, RUNS);
  assert.equal(bare.catalog_sha256, undefined);
  const trailer = await writeStream(path, [...ROWS, ...RUNS]);
  assert.deepEqual([trailer.sha256, trailer.catalog_sha256?.length], [bare.sha256, 64]);
  assert.deepEqual(trailer.counts, { production_run: 2, assembly_run: 1, ingredient: 1, recipe: 1, finished_unit: 1 });
  assert.deepEqual(await itemsOf(path), [...ROWS, ...RUNS]);
  assert.deepEqual((await headerOf(path)).catalog, CATALOG_KINDS);
  const copied = await writeStream(`${path}.gz`, readStream(path));
  assert.deepEqual({ ...copied, header_sha256: "" }, { ...trailer, header_sha256: "" });
});

test("a catalog without runs is whole", async () => {
  await writeStream(path, ROWS.slice(0, 1), { catalog: ["ingredient"] });
  assert.deepEqual(await itemsOf(path), ROWS.slice(0, 1));
  assert.deepEqual((await headerOf(path)).catalog, ["ingredient"]);
});

test("a row of the catalog after a run, or of a kind that the header does not name, is refused", async () => {
  await assert.rejects(writeStream(path, [...RUNS, ...ROWS], { catalog: ["ingredient"] }), /line 5: .* after a run/);
  await assert.rejects(writeStream(path, ROWS, { catalog: ["recipe"] }), /line 2: .* catalog kind ingredient/);
});

test("a file of the same name is replaced", async () => {
  await writeStream(path, RUNS);
  await writeStream(path, RUNS.slice(1));
  assert.deepEqual(await itemsOf(path), RUNS.slice(1));
});

test("after an invalid run, no other is asked for", async () => {
  let asked = 0;
  function* runs(): Generator<Run> {
    for (const run of [...RUNS, baked(4, { num_batches: 0 }), ...RUNS]) {
      asked += 1;
      yield run;
    }
  }
  await assert.rejects(writeStream(path, runs()), /line 5: \/production_run\/num_batches: must be >= 1/);
  assert.equal(asked, 4);
});

test("runs that break off leave no file, and a former one as it was", async () => {
  async function* broken(): AsyncGenerator<Run> {
    yield* RUNS;
    throw new CorruptError("no more", 5);
  }
  await assert.rejects(writeStream(path, broken()), CorruptError);
  assert.deepEqual(await readdir(directory), []);
  await writeStream(path, RUNS);
  await assert.rejects(writeStream(path, broken()), CorruptError);
  assert.deepEqual(await readdir(directory), ["runs.jsonl"]);
  assert.deepEqual(await itemsOf(path), RUNS);
});

const invalid: [string, Run, RegExp][] = [
  // @ts-expect-error: a decimal is a string
  ["a number", baked(1, { per_unit_cost: 0.9717 }), /^line 2: \/production_run\/per_unit_cost: must be string$/],
  ["no number", baked(1, { actual_yield: NaN }), /\/production_run\/actual_yield: must be integer$/],
  ["five decimal places", baked(1, { per_unit_cost: "0.97171" }), /per_unit_cost: must match pattern/],
  ["a NUL", baked(1, { notes: "\0" }), /notes: must be spelled as the schema says/],
  [
    "packaging without a slug",
    assembled(1, { packaging_consumptions: [{ uuid: randomUUID(), quantity_consumed: "5", unit: "each", total_cost: "3" }] }),
    /packaging_consumptions\/0: must have product_slug or ingredient_slug$/,
  ],
  ["a lone surrogate", baked(1, { notes: "\ud83c" }), /a text must not hold a lone surrogate/],
];

for (const [name, run, message] of invalid) {
  test(`a run that histio would not take is not written: ${name}`, async () => {
    await assert.rejects(writeStream(path, [run]), (error: FormatError) => {
      assert.match(error.message, message);
      return error instanceof FormatError && error.line === 2;
    });
    assert.deepEqual(await readdir(directory), []);
  });
}
