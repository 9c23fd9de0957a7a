import type { AssemblyRun, ProductionRun, Timestamp } from "./format.js";

interface Records {
  production_run: ProductionRun;
  assembly_run: AssemblyRun;
}

export type Kind = keyof Records;

export const KINDS: readonly Kind[] = ["production_run", "assembly_run"];

/** One run of a history: its kind tells the type of its record. */
export type Run = { [K in Kind]: { kind: K; record: Records[K] } }[Kind];

/** When the run was made, as the record has it. */
export function madeAt(run: Run): Timestamp {
  return run.kind === "production_run" ? run.record.produced_at : run.record.assembled_at;
}

/** The instant of a timestamp, to the millisecond. One without offset is UTC; `Date` takes it for local time. */
export function instant(timestamp: Timestamp): Date {
  return new Date(/(Z|[+-][0-9]{2}:[0-9]{2})$/.test(timestamp) ? timestamp : `${timestamp}Z`);
}
