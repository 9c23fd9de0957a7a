import { createHash } from "node:crypto";
import type { Trailer } from "./format.js";
import type { Kind } from "./runs.js";

/** Counts and digests run lines. */
export class Seal {
  readonly #counts: Record<Kind, number> = { production_run: 0, assembly_run: 0 };
  readonly #digest = createHash("sha256");

  add(kind: Kind, line: Uint8Array): void {
    this.#counts[kind] += 1;
    this.#digest.update(line);
  }

  /** The trailer of a stream of these lines with this header line. It can be asked for once. */
  trailer(header: Uint8Array): Trailer {
    return {
      counts: { ...this.#counts },
      sha256: this.#digest.digest("hex"),
      header_sha256: createHash("sha256").update(header).digest("hex"),
    };
  }
}
