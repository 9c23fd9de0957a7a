import type {
  AssemblyRun,
  FinishedGood,
  FinishedUnit,
  Ingredient,
  Product,
  ProductionRun,
  Recipe,
  Timestamp,
} from "./format.js";

interface CatalogRecords {
  ingredient: Ingredient;
  recipe: Recipe;
  finished_unit: FinishedUnit;
  finished_good: FinishedGood;
  product: Product;
}

interface RunRecords {
  production_run: ProductionRun;
  assembly_run: AssemblyRun;
}

export type CatalogKind = keyof CatalogRecords;
export type Kind = keyof RunRecords;

/** The kinds of catalog row, in the order in which they can be written into a database. */
export const CATALOG_KINDS: readonly CatalogKind[] = [
  "ingredient",
  "recipe",
  "finished_unit",
  "finished_good",
  "product",
];
export const KINDS: readonly Kind[] = ["production_run", "assembly_run"];

/** One row of the catalog, which runs name: its kind tells the type of its record. */
export type CatalogRow = { [K in CatalogKind]: { kind: K; record: CatalogRecords[K] } }[CatalogKind];

/** One run of a history: its kind tells the type of its record. */
export type Run = { [K in Kind]: { kind: K; record: RunRecords[K] } }[Kind];

/** What a line between header and trailer holds. */
export type Item = CatalogRow | Run;

export function isRun(item: Item): item is Run {
  return item.kind === "production_run" || item.kind === "assembly_run";
}

/** When the run was made, as the record has it. */
export function madeAt(run: Run): Timestamp {
  return run.kind === "production_run" ? run.record.produced_at : run.record.assembled_at;
}

/** The instant of a timestamp, to the millisecond. One without offset is UTC; `Date` takes it for local time. */
export function instant(timestamp: Timestamp): Date {
  return new Date(/(Z|[+-][0-9]{2}:[0-9]{2})$/.test(timestamp) ? timestamp : `${timestamp}Z`);
}
