import { createHash } from "node:crypto";
import { FormatError } from "./errors.js";
import type { Header, Trailer } from "./format.js";
import { isRun, type Item } from "./runs.js";

/** Counts and digests the lines between header and trailer. */
export class Seal {
  readonly #catalogKinds: ReadonlySet<string>;
  readonly #counts: Trailer["counts"] = { production_run: 0, assembly_run: 0 };
  readonly #catalog = createHash("sha256");
  readonly #runs = createHash("sha256");
  #hasCatalog = false;
  #isInCatalog = true;
  #hasRuns = false;

  constructor({ catalog = [] }: Header) {
    this.#catalogKinds = new Set(catalog);
  }

  /**
   * Add a line.
   *
   * @param item What the line holds.
   * @param first The name of the line's first member: catalog lines are those before the first that begins with
   *   anything else than a kind of the catalog.
   * @throws {FormatError} A row of the catalog cannot be here.
   */
  add(item: Item, line: Uint8Array, number: number, first: string = item.kind): void {
    if (isRun(item)) {
      this.#hasRuns = true;
    } else if (!this.#catalogKinds.has(item.kind)) {
      throw new FormatError(`the header does not name the catalog kind ${item.kind}`, number);
    } else if (this.#hasRuns) {
      throw new FormatError("a row of the catalog after a run", number);
    }
    this.#isInCatalog &&= this.#catalogKinds.has(first);
    this.#hasCatalog ||= this.#isInCatalog;
    this.#counts[item.kind] = (this.#counts[item.kind] ?? 0) + 1;
    (this.#isInCatalog ? this.#catalog : this.#runs).update(line);
  }

  /** The trailer of a stream of these lines with this header line. It can be asked for once. */
  trailer(header: Uint8Array): Trailer {
    return {
      counts: { ...this.#counts },
      sha256: this.#runs.digest("hex"),
      header_sha256: createHash("sha256").update(header).digest("hex"),
      ...(this.#hasCatalog && { catalog_sha256: this.#catalog.digest("hex") }),
    };
  }
}
