import { readFileSync } from "node:fs";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { CorruptError, FormatError } from "./errors.js";
import type { History, ReceiptLine, StreamLine } from "./format.js";

const schema = JSON.parse(readFileSync(new URL("../history-1.0.schema.json", import.meta.url), "utf8"));

// The schema's $id, a URN, is a name: ajv finds by it what was added, and nothing is fetched.
const ajv = new Ajv2020({ strict: true, allErrors: true, verbose: true }).addSchema(schema);
const isDocument = ajv.compile<History>({ $ref: schema.$id });
const isStreamLine = ajv.compile<StreamLine>({ $ref: `${schema.$id}#/$defs/stream_line` });
const isReceiptLine = ajv.compile<ReceiptLine>({ $ref: `${schema.$id}#/$defs/receipt_line` });

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The document with this JSON text.
 *
 * @throws {FormatError} It is none.
 */
export function parseDocument(text: string): History {
  const value = parsed(text);
  if (isDocument(value)) return value;
  const { pointer, text: why } = explained(isDocument);
  throw new FormatError(why, undefined, pointer);
}

/**
 * A line of a stream, from its bytes.
 *
 * @param number The number of the line, for errors.
 * @throws {FormatError} It is no header, run or trailer.
 */
export function parseStreamLine(line: Uint8Array, number: number): StreamLine {
  return asStreamLine(parseLine(line, number), number);
}

/**
 * A line of a stream, from its value.
 *
 * @param isTrailer Whether it begins as the trailer of a sealed stream.
 * @throws {CorruptError} It is not the trailer as which it begins.
 * @throws {FormatError} It is no header, run or trailer.
 */
export function asStreamLine(value: unknown, number: number, isTrailer = false): StreamLine {
  if (isStreamLine(value)) return value;
  // ajv tells why the line is none of what it may be. Of interest is why it is not what it begins as.
  const [member] = value instanceof Object ? Object.keys(value) : [];
  const { pointer, text } = explained(isStreamLine, `/${member}`);
  if (isTrailer) throw new CorruptError(`${pointer}: ${text}`, number);
  throw new FormatError(text, number, pointer);
}

/**
 * A line of a receipt, from its bytes.
 *
 * @throws {CorruptError} It is none.
 */
export function parseReceiptLine(line: Uint8Array, number: number): ReceiptLine {
  let value: unknown;
  try {
    value = parseLine(line, number);
  } catch {
    value = undefined; // of a receipt, whatever is wrong with a line is damage
  }
  if (isReceiptLine(value)) return value;
  throw new CorruptError("not a line of a receipt", number);
}

/**
 * The JSON value of a line, from its bytes.
 *
 * @throws {FormatError} It is not UTF-8, or not JSON.
 */
export function parseLine(line: Uint8Array, number: number): unknown {
  return parsed(decoded(line, number), number);
}

function decoded(line: Uint8Array, number: number): string {
  try {
    return utf8.decode(line);
  } catch {
    throw new FormatError("not UTF-8", number);
  }
}

function parsed(text: string, line?: number): unknown {
  try {
    const value = JSON.parse(text);
    // Only an escape can be half of a surrogate pair: UTF-8 has none.
    if (!text.includes("\\u") || isWellFormed(value)) return value;
    throw new SyntaxError("a text must not hold a lone surrogate");
  } catch (error) {
    throw new FormatError(`not JSON: ${(error as Error).message}`, line);
  }
}

/** No portable pattern can exclude lone surrogates. No database takes them, so histio refuses them. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  return !(value instanceof Object) || Object.values(value).every(isWellFormed);
}

/** Where and why: one of the errors at or below a pointer; one that says what is expected, where there is one. */
function explained({ errors }: ValidateFunction, below = ""): { pointer: string; text: string } {
  const of = (errors ?? []).filter(({ instancePath }) => `${instancePath}/`.startsWith(`${below}/`));
  const error = of.find(({ keyword }) => keyword !== "not") ?? of[0];
  if (error === undefined) return { pointer: "", text: "neither a header, nor one run, nor a trailer" };
  const lacking = error.params["missingProperty"];
  return { pointer: error.instancePath + (lacking === undefined ? "" : `/${lacking}`), text: reason(error) };
}

function reason({ keyword, message = "", params, schema: rule }: ErrorObject): string {
  if (keyword === "not") {
    const lacking = Object.keys((rule as { properties?: object }).properties ?? {});
    return lacking.length > 0 ? `must have ${lacking.join(" or ")}` : "must be spelled as the schema says";
  }
  if ("additionalProperty" in params) return `unknown member ${JSON.stringify(params["additionalProperty"])}`;
  if ("allowedValue" in params) return `must be ${JSON.stringify(params["allowedValue"])}`;
  return message;
}
