import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Header, Trailer } from "./format.js";
import { CATALOG_KINDS, isRun, KINDS, type Item } from "./runs.js";
import { Seal } from "./seal.js";
import { parseStreamLine } from "./validation.js";

/**
 * Members of the header: by default, the stream is exported now and has all kinds of run; and all kinds of the catalog
 * if it begins with a row of it.
 */
export type WriteOptions = Pick<Header, "exported_at" | "kinds" | "follows" | "follows_header" | "catalog">;

/**
 * Write the rows of a catalog and runs as a sealed stream, compressed where the path ends in `.gz`.
 *
 * The file is there, whole and in place of a former one of its name, when the promise is fulfilled. Where items
 * end in an error, or one is invalid, nothing has changed.
 *
 * @param items An iterable that is read one by one, in constant memory; so a stream can be copied. Rows of the catalog
 *   come first.
 * @throws {FormatError} An item is not what the schema says, or a row comes after a run.
 */
export async function writeStream(
  path: string,
  items: Iterable<Item> | AsyncIterable<Item>,
  options: WriteOptions = {},
): Promise<Trailer> {
  let trailer: Trailer | undefined;

  async function* lines(): AsyncGenerator<Buffer, void, undefined> {
    let begun: Beginning | undefined;
    let number = 1;
    for await (const item of items) {
      if (begun === undefined) yield (begun = begin(options, !isRun(item))).header;
      number += 1;
      const line = encoded({ [item.kind]: item.record }, number);
      begun.seal.add(item, line, number);
      yield line;
    }
    if (begun === undefined) yield (begun = begin(options, false)).header;
    trailer = begun.seal.trailer(begun.header);
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

interface Beginning {
  header: Buffer;
  seal: Seal;
}

function begin({ catalog, ...others }: WriteOptions, hasCatalog: boolean): Beginning {
  const exported_at = `${new Date().toISOString().slice(0, 19)}Z`;
  const header: Header = { version: "1.0", exported_at, kinds: [...KINDS], ...others };
  if (catalog !== undefined) header.catalog = catalog;
  else if (hasCatalog) header.catalog = [...CATALOG_KINDS];
  return { header: encoded({ header }, 1), seal: new Seal(header) };
}

/** What is checked is what is written: `JSON.stringify` leaves members out, and calls `toJSON` of others. */
function encoded(line: object, number: number): Buffer {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  parseStreamLine(bytes, number);
  return bytes;
}
