export { CorruptError, FormatError, HistoryError, TruncatedError } from "./errors.js";
export type * from "./format.js";
export type { Source } from "./lines.js";
export { HistoryStream, readStream, verifyStream, type ReadOptions } from "./reader.js";
export { readReceipt } from "./receipt.js";
export {
  CATALOG_KINDS,
  instant,
  isRun,
  KINDS,
  madeAt,
  type CatalogKind,
  type CatalogRow,
  type Item,
  type Kind,
  type Run,
} from "./runs.js";
export { parseDocument, parseReceiptLine, parseStreamLine } from "./validation.js";
export { writeStream, type WriteOptions } from "./writer.js";
