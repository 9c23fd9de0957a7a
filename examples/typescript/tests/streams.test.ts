import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  CorruptError,
  FormatError,
  HistoryError,
  readReceipt,
  readStream,
  TruncatedError,
  type Trailer,
} from "../src/index.js";

const FOLDER = new URL("../../../../tests/streams/", import.meta.url);

/** A case of tests/streams/cases.json; docs/reference/format.md describes it. */
interface Case extends Partial<Omit<Trailer, "counts">> {
  file: string;
  type: "stream" | "receipt";
  compression?: "gzip" | "zstd";
  valid: boolean;
  verdict?: string;
  counts?: Record<string, number>;
}

const CASES: Case[] = JSON.parse(readFileSync(new URL("cases.json", FOLDER), "utf8")).cases;

/** What the package makes of a file, as the index says it. */
async function judged({ file, type }: Case): Promise<Partial<Case>> {
  const source = new URL(file, FOLDER);
  try {
    return { file, valid: true, ...(await (type === "receipt" ? linesOf(source) : contentOf(source))) };
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    return { file, valid: false, verdict: verdictOf(error) };
  }
}

async function linesOf(source: URL): Promise<Partial<Case>> {
  for await (const _ of readReceipt(source));
  return {};
}

async function contentOf(source: URL): Promise<Partial<Case>> {
  const stream = readStream(source, { unsealed: true });
  const counts: Record<string, number> = {};
  for await (const { kind } of stream) counts[kind] = (counts[kind] ?? 0) + 1;
  return { ...stream.trailer, counts };
}

function verdictOf(error: HistoryError): string {
  if (error instanceof TruncatedError) return "truncated";
  if (error instanceof CorruptError) return "corrupt";
  return error instanceof FormatError && error.pointer === "/header/version" ? "version" : "schema";
}

/** The members of a case that a reader can find; of an invalid one, its verdict. */
function expected({ file, valid, verdict, counts, sha256, header_sha256, catalog_sha256 }: Case): Partial<Case> {
  const digests = Object.entries({ counts, sha256, header_sha256, catalog_sha256 });
  return valid ? { file, valid, ...Object.fromEntries(digests.filter(([, value]) => value)) } : { file, valid, verdict: verdict! };
}

// Zstandard needs Node.js 22.15: the package asks to decompress such files first.
test("every stream and receipt of the shared corpus is judged as its index says", async () => {
  const cases = CASES.filter(({ compression }) => compression !== "zstd");
  const found = [];
  for (const each of cases) found.push(await judged(each));
  assert.ok(cases.length > 100);
  assert.deepEqual(found, cases.map(expected));
});
