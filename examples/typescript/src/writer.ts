import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { FormatError } from "./errors.js";
import type { Header, Trailer } from "./format.js";
import { KINDS, type Run } from "./runs.js";
import { Seal } from "./seal.js";
import { parseStreamLine } from "./validation.js";

/** Members of the header: by default, the stream is exported now and has all kinds. */
export type WriteOptions = Pick<Header, "exported_at" | "kinds" | "follows">;

/**
 * Write runs as a sealed stream, compressed where the path ends in `.gz`.
 *
 * The file is there, whole and in place of a former one of its name, when the promise is fulfilled. Where runs
 * end in an error, or one is invalid, nothing has changed.
 *
 * @param runs An iterable that is read one by one, in constant memory; so a stream can be copied.
 * @throws {FormatError} A run is not what the schema says.
 */
export async function writeStream(
  path: string,
  runs: Iterable<Run> | AsyncIterable<Run>,
  options: WriteOptions = {},
): Promise<Trailer> {
  let trailer: Trailer | undefined;

  async function* lines(): AsyncGenerator<Buffer, void, undefined> {
    const exported_at = `${new Date().toISOString().slice(0, 19)}Z`;
    const header = encoded({ header: { version: "1.0", exported_at, kinds: [...KINDS], ...options } }, 1);
    yield header;
    const seal = new Seal();
    let number = 1;
    for await (const { kind, record } of runs) {
      number += 1;
      const line = encoded({ [kind]: record }, number);
      seal.add(kind, line);
      yield line;
    }
    trailer = seal.trailer(header);
    yield encoded({ trailer }, number + 1);
  }

  const beside = join(dirname(path), `.${basename(path)}-${randomUUID()}`);
  // Opened at once: a stream that is destroyed early would otherwise still make the file, after its removal.
  const file = await open(beside, "wx");
  try {
    const target = file.createWriteStream({ flush: true });
    await (path.endsWith(".gz") ? pipeline(lines, createGzip(), target) : pipeline(lines, target));
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  return trailer!;
}

/** What is checked is what is written: `JSON.stringify` leaves members out, and calls `toJSON` of others. */
function encoded(line: object, number: number): Buffer {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  if (!isWellFormed(parseStreamLine(bytes, number))) {
    throw new FormatError("a text must not hold a lone surrogate", number);
  }
  return bytes;
}

/** No portable pattern can exclude lone surrogates. No database takes them, so histio refuses them. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  return !(value instanceof Object) || Object.values(value).every(isWellFormed);
}
