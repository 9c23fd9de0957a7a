import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  CorruptError,
  FormatError,
  HistoryError,
  instant,
  readStream,
  TruncatedError,
  verifyStream,
  writeStream,
  type Item,
  type Source,
} from "../src/index.js";
import { ROWS, RUNS } from "./runs.js";

let directory: string;
let stream: Buffer;
let lines: Buffer[];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "histio-"));
  await writeStream(join(directory, "runs.jsonl"), RUNS, { exported_at: "2026-01-01T00:00:00Z" });
  stream = await readFile(join(directory, "runs.jsonl"));
  lines = stream.toString().split(/(?<=\n)/).map((line) => Buffer.from(line));
});

after(() => rm(directory, { recursive: true }));

/** Bytes in pieces of a size that breaks lines and characters apart. */
function* pieces(bytes: Buffer, size = 7): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

const source = (bytes: Buffer, size?: number): Source => Readable.from(pieces(bytes, size));

async function runsOf(bytes: Buffer): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of readStream(source(bytes))) items.push(item);
  return items;
}

async function faultOf(bytes: Buffer, size = 2 ** 16): Promise<HistoryError> {
  const error: unknown = await verifyStream(source(bytes, size)).then(() => undefined, (reason) => reason);
  assert.ok(error instanceof HistoryError, `${bytes}: ${error}`);
  return error;
}

describe("a sealed stream", () => {
  test("gives its runs, plain or gzip, in pieces of any size", async () => {
    assert.deepEqual(await runsOf(stream), RUNS);
    assert.deepEqual(await runsOf(gzipSync(stream)), RUNS);
  });

  test("may begin with a byte order mark", async () => {
    assert.deepEqual(await runsOf(Buffer.concat([Buffer.from("\ufeff"), stream])), RUNS);
  });

  test("of a path can be read again", async () => {
    const file = readStream(join(directory, "runs.jsonl"));
    for (const _ of [1, 2]) {
      const runs: Item[] = [];
      for await (const run of file) runs.push(run);
      assert.deepEqual(runs, RUNS);
    }
  });

  test("shows its header with the first run, and its trailer only when all was read", async () => {
    const file = readStream(source(stream));
    for await (const _ of file) {
      assert.equal(file.header?.exported_at, "2026-01-01T00:00:00Z");
      assert.equal(file.trailer, undefined);
    }
    assert.deepEqual(file.trailer?.counts, { production_run: 2, assembly_run: 1 });
  });

  test("has no trailer where it is damaged", async () => {
    const file = readStream(source(stream.subarray(0, -1)));
    await assert.rejects(async () => {
      for await (const _ of file);
    }, TruncatedError);
    assert.equal(file.trailer, undefined);
  });

  test("is read no further than asked for, and closed when the loop is left", async () => {
    for (const bytes of [stream, gzipSync(stream)]) {
      let read = 0;
      let isClosed = false;
      async function* endless(): AsyncGenerator<Buffer> {
        try {
          for (const piece of pieces(bytes)) yield piece;
          for (; ; read += 1) yield lines[1]!;
        } finally {
          isClosed = true;
        }
      }
      for await (const run of readStream(endless())) {
        assert.deepEqual(run, RUNS[0]);
        break;
      }
      assert.deepEqual([read < 100, isClosed], [true, true]);
    }
  });

  test("that is not there is the file system's error", async () => {
    await assert.rejects(verifyStream(join(directory, "none.jsonl")), { code: "ENOENT" });
  });
});

describe("damage", () => {
  test("by a cut at any place is named, within the line where it is", async () => {
    for (let length = 0; length < stream.length; length += 1) {
      const cut = stream.subarray(0, length);
      const ends = cut.toString("latin1").split("\n").length;
      const expected = length > 0 && cut.at(-1) === 0x0a ? ends - 1 : ends;
      const error = await faultOf(cut);
      assert.deepEqual([error.constructor, error.line], [TruncatedError, expected]);
    }
  });

  test("by a cut of a gzip file at any place is named", async () => {
    const compressed = gzipSync(stream);
    for (let length = 0; length < compressed.length; length += 1) {
      assert.equal((await faultOf(compressed.subarray(0, length))).constructor, TruncatedError);
    }
  });

  test("of a bit of any byte is found", async () => {
    for (let place = 0; place < stream.length; place += 1) {
      const changed = Buffer.from(stream);
      changed[place]! ^= 1 << (place % 8);
      await faultOf(changed);
    }
  });

  const cases: [string, () => Buffer[], new (message: string) => HistoryError, number, RegExp][] = [
    ["a line is missing", () => lines.toSpliced(2, 1), CorruptError, 4, /counts 2 production_run, the stream has 1/],
    ["a line comes twice", () => lines.toSpliced(2, 0, lines[2]!), CorruptError, 6, /counts 2 .* has 3/],
    ["lines changed places", () => lines.with(1, lines[2]!).with(2, lines[1]!), CorruptError, 5, /runs are not those/],
    ["a note was changed", () => changed(1, "no nuts", "no salt"), CorruptError, 5, /runs are not those/],
    ["the header was changed", () => changed(0, "2026", "2027"), CorruptError, 5, /header is not the one/],
    ["a count was changed", () => changed(4, ":1}", ":3}"), CorruptError, 5, /counts 3 assembly_run, .* has 1/],
    ["lines end in CR LF", () => lines.map((line) => Buffer.from(`${line}`.replace("\n", "\r\n"))), CorruptError, 5, /runs/],
    ["streams were put together", () => [...lines, ...lines], CorruptError, 6, /comes after the trailer/],
    ["a second header", () => lines.toSpliced(2, 0, lines[0]!), CorruptError, 3, /second header/],
    ["a blank line", () => lines.toSpliced(2, 0, Buffer.from("\n")), FormatError, 3, /not JSON/],
    ["no header", () => lines.slice(1), FormatError, 1, /no header/],
    ["another version", () => changed(0, '"1.0"', '"2.0"'), FormatError, 1, /^line 1: \/header\/version: must be "1.0"$/],
    ["no seal", () => changed(0, '"kinds"', '"sealed":false,"kinds"'), FormatError, 1, /not sealed/],
    ["a number for a decimal", () => changed(1, '"5"', "5"), FormatError, 2, /consumptions\/0\/total_cost: must be string/],
    ["an unknown member", () => changed(1, '"notes"', '"oven"'), FormatError, 2, /\/production_run: unknown member "oven"/],
    ["an unknown kind", () => changed(1, "production_run", "sale"), FormatError, 2, /neither a header, nor one run/],
    ["not UTF-8", () => lines.with(1, Buffer.from(`${lines[1]}`, "latin1")), FormatError, 2, /not UTF-8/],
    ["Zstandard", () => [Buffer.from("28b52ffd0000", "hex")], FormatError, 1, /zstd -dc/],
  ];

  const changed = (number: number, from: string, to: string) =>
    lines.with(number, Buffer.from(`${lines[number]}`.replace(from, to)));

  for (const [name, damaged, kind, line, message] of cases) {
    test(`is named with its line: ${name}`, async () => {
      const error = await faultOf(Buffer.concat(damaged()));
      assert.deepEqual([error.constructor, error.line], [kind, line], `${error}`);
      assert.match(error.message, message);
    });
  }

  test("of compressed data is corrupt", async () => {
    const compressed = gzipSync(stream);
    compressed[compressed.length - 8]! ^= 1; // the checksum of what came before
    assert.equal((await faultOf(compressed)).constructor, CorruptError);
  });

  test("by a line without end is found in bounded memory", async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(1000, "x");
    }
    await assert.rejects(verifyStream(endless(), { maxLineBytes: 5000 }), /line 1: longer than 5000 bytes/);
  });
});

describe("a stream with a catalog", () => {
  let whole: Buffer;
  let parts: Buffer[];

  before(async () => {
    const path = join(directory, "catalog.jsonl");
    await writeStream(path, [...ROWS, ...RUNS], { exported_at: "2026-01-01T00:00:00Z" });
    whole = await readFile(path);
    parts = whole.toString().split(/(?<=\n)/).map((line) => Buffer.from(line));
  });

  test("gives the rows, then the runs", async () => {
    assert.deepEqual(await runsOf(whole), [...ROWS, ...RUNS]);
  });

  test("that is changed in any byte is refused", async () => {
    for (let place = 0; place < whole.length; place += 1) {
      const changed = Buffer.from(whole);
      changed[place]! ^= 1 << (place % 8);
      await faultOf(changed);
    }
  });

  const cases: [string, () => Buffer[], new (message: string) => HistoryError, number, RegExp][] = [
    ["rows changed places", () => parts.with(1, parts[2]!).with(2, parts[1]!), CorruptError, 8, /catalog is not the one/],
    ["a row is missing", () => parts.toSpliced(1, 1), CorruptError, 7, /counts 1 ingredient, the stream has 0/],
    ["a name was changed", () => replaced(2, '"name":"Crème', '"name":"Creme'), CorruptError, 8, /catalog is not the one/],
    ["a row after a run", () => parts.with(3, parts[4]!).with(4, parts[3]!), FormatError, 5, /after a run/],
    ["a kind that is not named", () => replaced(0, '"ingredient",', ""), FormatError, 2, /name the catalog kind ingredient/],
    ["no digest", () => replaced(7, /,"catalog_sha256":"\w+"/, ""), CorruptError, 8, /catalog is not the one/],
    ["a digest of no catalog", () => parts.toSpliced(1, 3).with(4, sealed(0, 0, 0)), CorruptError, 5, /catalog is not/],
  ];

  const replaced = (number: number, from: string | RegExp, to: string) =>
    parts.with(number, Buffer.from(`${parts[number]}`.replace(from, to)));

  const sealed = (...counts: number[]) => {
    const { trailer } = JSON.parse(`${parts[7]}`);
    const [ingredient, recipe, finished_unit] = counts;
    return Buffer.from(
      `${JSON.stringify({ trailer: { ...trailer, counts: { ...trailer.counts, ingredient, recipe, finished_unit } } })}\n`,
    );
  };

  for (const [name, damaged, kind, line, message] of cases) {
    test(`is refused with the line: ${name}`, async () => {
      const error = await faultOf(Buffer.concat(damaged()));
      assert.deepEqual([error.constructor, error.line], [kind, line], `${error}`);
      assert.match(error.message, message);
    });
  }
});

test("a timestamp without offset is UTC", () => {
  assert.deepEqual(instant("2025-12-08T10:00:00.120000"), instant("2025-12-08T11:00:00.12+01:00"));
});
