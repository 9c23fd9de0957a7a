import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { CorruptError, FormatError, HistoryError, TruncatedError } from "./errors.js";

/** A path, the URL of a file, or bytes as they come, such as `process.stdin` or the body of a response. */
export type Source = string | URL | AsyncIterable<Uint8Array>;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);
const GZIP = Buffer.of(0x1f, 0x8b);
const ZSTANDARD = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);

/**
 * The lines of a file, uncompressed, each with its line end; only the last one may lack it.
 *
 * @param maxLineBytes What is longer is no line: memory is bounded by it.
 * @throws {HistoryError} The compressed data are damaged, or a line is too long.
 */
export async function* readLines(source: Source, maxLineBytes: number): AsyncGenerator<Buffer, void, undefined> {
  let number = 1;
  let begun: Buffer[] = [];
  let length = 0;
  try {
    for await (let chunk of uncompressed(source)) {
      for (let end = chunk.indexOf(LINE_FEED) + 1; end > 0; end = chunk.indexOf(LINE_FEED) + 1) {
        const line = Buffer.concat([...begun, chunk.subarray(0, end)]);
        yield number === 1 ? withoutMark(line) : line;
        chunk = chunk.subarray(end);
        begun = [];
        length = 0;
        number += 1;
      }
      begun.push(chunk);
      length += chunk.length;
      if (length > maxLineBytes) throw new FormatError(`longer than ${maxLineBytes} bytes`, number);
    }
  } catch (error) {
    throw damage(error, number) ?? error;
  }
  const last = number === 1 ? withoutMark(Buffer.concat(begun)) : Buffer.concat(begun);
  if (last.length > 0) yield last;
}

function withoutMark(line: Buffer): Buffer {
  return line.subarray(0, 3).equals(BYTE_ORDER_MARK) ? line.subarray(3) : line;
}

/** What zlib's error means; undefined: it is another one's. */
function damage(error: unknown, line: number): HistoryError | undefined {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (code === "Z_BUF_ERROR") return new TruncatedError("the compressed data end before their end", line);
  return code.startsWith("Z_") ? new CorruptError(`the compressed data are damaged: ${message}`, line) : undefined;
}

async function* uncompressed(source: Source): AsyncGenerator<Buffer, void, undefined> {
  const isFile = typeof source === "string" || source instanceof URL;
  const chunks = buffers(isFile ? createReadStream(source) : source);
  try {
    let start = Buffer.alloc(0);
    while (start.length < ZSTANDARD.length) {
      const next = await chunks.next();
      if (next.done) break;
      start = Buffer.concat([start, next.value]);
    }
    if (start.subarray(0, ZSTANDARD.length).equals(ZSTANDARD)) {
      throw new FormatError("a Zstandard file, which is to be decompressed first: zstd -dc FILE", 1);
    }
    const all = preceded(start, chunks);
    yield* start.subarray(0, GZIP.length).equals(GZIP) ? pipeline(all, createGunzip(), () => {}) : all;
  } finally {
    await chunks.return();
  }
}

async function* buffers(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  for await (const { buffer, byteOffset, byteLength } of chunks) yield Buffer.from(buffer, byteOffset, byteLength);
}

async function* preceded(start: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  yield start;
  yield* rest;
}
