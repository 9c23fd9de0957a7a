/** A file or a text is not what the format says. */
export class HistoryError extends Error {
  /** The line of a stream, from 1; undefined: it is about a document. */
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(line === undefined ? message : `line ${line}: ${message}`);
    this.name = new.target.name;
    this.line = line;
  }
}

/** The form is wrong: no JSON, or no header, run, trailer or document as the schema has them. */
export class FormatError extends HistoryError {
  /** Where in the line or document: a JSON Pointer (RFC 6901); empty: the whole of it. */
  readonly pointer: string;

  constructor(message: string, line?: number, pointer = "") {
    super(pointer === "" ? message : `${pointer}: ${message}`, line);
    this.pointer = pointer;
  }
}

/** The stream ends before its end. */
export class TruncatedError extends HistoryError {}

/** The stream is not the one that was sealed. */
export class CorruptError extends HistoryError {}
