import { CorruptError, FormatError, TruncatedError } from "./errors.js";
import type { Header, StreamLine, Trailer } from "./format.js";
import { readLines, type Source } from "./lines.js";
import { CATALOG_KINDS, KINDS, type Item } from "./runs.js";
import { Seal } from "./seal.js";
import { asStreamLine, parseLine } from "./validation.js";

const LINE_FEED = 0x0a;

export interface ReadOptions {
  /** A longer line is refused. The default is 128 MiB, as in histio. */
  maxLineBytes?: number;
  /**
   * Read streams without a seal too, such as rejects. They have no trailer: nothing shows whether all items are there.
   * The default is false.
   */
  unsealed?: boolean;
}

/**
 * A sealed stream, read line by line in constant memory:
 *
 *     const stream = readStream("history.jsonl.gz");
 *     for await (const item of stream) keep(item);
 *     commit(stream.trailer);
 *
 * The items are the rows of the catalog, if the stream has one, and then the runs. Every item is valid when it is
 * handed out. Whether all are there, and are those that were sealed, is known only when the loop has ended without
 * an error: until then, do nothing that cannot be undone.
 *
 * @param source Plain or gzip; told by its content.
 */
export function readStream(source: Source, options: ReadOptions = {}): HistoryStream {
  return new HistoryStream(source, options);
}

/**
 * Read a stream to its end and keep nothing of it.
 *
 * @returns Its trailer, which agrees with it.
 * @throws {HistoryError} It is damaged, or no sealed stream.
 */
export async function verifyStream(source: Source, options: ReadOptions = {}): Promise<Trailer> {
  const stream = readStream(source, options);
  for await (const _ of stream);
  return stream.trailer!;
}

/** See `readStream`. A stream of a path can be iterated over again, and is then read again. */
export class HistoryStream implements AsyncIterable<Item> {
  /** The first line; undefined until it has been read. */
  header: Header | undefined;
  /** The last line; undefined until all was read and agrees with it, and if the stream is not sealed. */
  trailer: Trailer | undefined;
  readonly #source: Source;
  readonly #maxLineBytes: number;
  readonly #unsealed: boolean;

  constructor(source: Source, { maxLineBytes = 2 ** 27, unsealed = false }: ReadOptions) {
    this.#source = source;
    this.#maxLineBytes = maxLineBytes;
    this.#unsealed = unsealed;
  }

  /**
   * The rows of the catalog and the runs, in the order of their lines.
   *
   * @throws {FormatError} A line is not what the schema says.
   * @throws {TruncatedError} The stream ends before its trailer does.
   * @throws {CorruptError} Counts or digests disagree, or lines stand where none may.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    this.header = this.trailer = undefined;
    let begun: { header: Buffer; seal: Seal } | undefined;
    let isSealed = true;
    let number = 0;
    let trailer: Trailer | undefined;
    for await (const line of readLines(this.#source, this.#maxLineBytes)) {
      number += 1;
      if (begun === undefined) isSealed = !(this.#unsealed && saysUnsealed(line));
      if (trailer !== undefined) throw new CorruptError("comes after the trailer, which is the last line", number);
      if (isSealed && line.at(-1) !== LINE_FEED) throw new TruncatedError("the stream ends within this line", number);
      const value = parseLine(line, number);
      const [start, ...others] = value instanceof Object ? Object.keys(value) : [];
      if (isSealed && begun !== undefined && start === "header") {
        throw new CorruptError("a second header: streams that were put one after the other are no stream", number);
      }
      // A trailer may be left over from a sealed stream that was edited.
      if (!isSealed && begun !== undefined && start === "trailer" && others.length === 0) continue;
      const members = asStreamLine(value, number, isSealed && begun !== undefined && start === "trailer");
      if (begun === undefined) {
        this.header = headerOf(members, isSealed);
        begun = { header: line, seal: new Seal(this.header) };
      } else if ("header" in members) {
        throw new FormatError("a second header", number);
      } else if ("trailer" in members) {
        trailer = members.trailer;
      } else {
        const item = itemOf(members, number);
        begun.seal.add(item, line, number, start);
        yield item;
      }
    }
    if (begun === undefined) throw new TruncatedError("the file is empty", 1);
    if (!isSealed) return;
    if (trailer === undefined) throw new TruncatedError("the stream ends here, without its trailer", number);
    compare(trailer, begun.seal.trailer(begun.header), number);
    this.trailer = trailer;
  }
}

/** Whether the first line, which may be the last one too, says that there is no seal. */
function saysUnsealed(line: Buffer): boolean {
  try {
    return JSON.parse(line.toString()).header.sealed === false;
  } catch {
    return false;
  }
}

function headerOf(line: StreamLine, isSealed: boolean): Header {
  if (!("header" in line)) throw new FormatError("no header, which is the first line of a stream", 1);
  if (isSealed && line.header.sealed === false) throw new FormatError("the stream is not sealed", 1, "/header/sealed");
  return line.header;
}

/**
 * The row or run of a line, which has one member besides its problems.
 *
 * @throws {FormatError} It is the text of a line that an import could not read.
 */
function itemOf(line: StreamLine, number: number): Item {
  if ("unreadable" in line) throw new FormatError("a line that an import could not read, and nobody corrected", number);
  const [kind, record] = Object.entries(line).find(([name]) => name !== "problems")!;
  return { kind, record } as Item;
}

function compare(told: Trailer, found: Trailer, line: number): void {
  for (const kind of [...CATALOG_KINDS, ...KINDS]) {
    const [expected, actual] = [told.counts[kind] ?? 0, found.counts[kind] ?? 0];
    if (expected !== actual) {
      throw new CorruptError(`the trailer counts ${expected} ${kind}, the stream has ${actual}`, line);
    }
  }
  if (told.sha256 !== found.sha256) {
    throw new CorruptError("the runs are not those that were sealed: their sha256 is another", line);
  }
  if (told.catalog_sha256 !== found.catalog_sha256) {
    throw new CorruptError("the catalog is not the one that was sealed: its sha256 is another", line);
  }
  if (told.header_sha256 !== found.header_sha256) {
    throw new CorruptError("the header is not the one that was sealed: its sha256 is another", line);
  }
}
