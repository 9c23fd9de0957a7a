import { CorruptError } from "./errors.js";
import type { ReceiptLine } from "./format.js";
import { readLines, type Source } from "./lines.js";
import type { ReadOptions } from "./reader.js";
import { parseReceiptLine } from "./validation.js";

const LINE_FEED = 0x0a;

/**
 * The lines of a receipt, of which the first one says what it is. A last line without a line feed is ignored.
 *
 * @throws {CorruptError} A line is not one of a receipt.
 */
export async function* readReceipt(
  source: Source,
  { maxLineBytes = 2 ** 27 }: Pick<ReadOptions, "maxLineBytes"> = {},
): AsyncGenerator<ReceiptLine, void, undefined> {
  let kinds: readonly string[] | undefined;
  let number = 0;
  for await (const bytes of readLines(source, maxLineBytes)) {
    if (bytes.at(-1) !== LINE_FEED) break;
    number += 1;
    const line = parseReceiptLine(bytes, number);
    if ("receipt" in line) {
      if (kinds !== undefined) throw new CorruptError("a second first line", number);
      kinds = line.receipt.kinds;
    } else {
      const { kind } = "created" in line ? line.created : line.updated;
      if (!kinds?.includes(kind)) throw new CorruptError(`the first line does not name the kind ${kind}`, number);
    }
    yield line;
  }
  if (kinds === undefined) throw new CorruptError("no receipt, which is the first line", 1);
}
