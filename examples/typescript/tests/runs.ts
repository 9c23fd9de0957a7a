import type { AssemblyRun, CatalogRow, ProductionRun, Run } from "../src/index.js";

const uuid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

export function baked(number: number, members: Partial<ProductionRun> = {}): Run {
  const record: ProductionRun = {
    uuid: uuid(number),
    recipe_slug: "crème-brûlée",
    finished_unit_slug: "ramekin",
    num_batches: 1,
    expected_yield: 8,
    actual_yield: 7,
    produced_at: "2025-12-08T10:00:00Z",
    notes: 'Table 4, "no nuts"\n\u2028👩🏽‍🍳',
    total_ingredient_cost: "6.8020",
    per_unit_cost: "0.9717",
    consumptions: [
      { uuid: uuid(1000 + number), ingredient_slug: "cream", quantity_consumed: "1.06", unit: "l", total_cost: "5" },
    ],
    ...members,
  };
  return { kind: "production_run", record };
}

export function assembled(number: number, members: Partial<AssemblyRun> = {}): Run {
  const record: AssemblyRun = {
    uuid: uuid(number),
    finished_good_slug: "party-box-🎉",
    quantity_assembled: 5,
    assembled_at: "2025-12-09T09:30:00.000001+01:00",
    total_component_cost: "12.50",
    per_unit_cost: "2.50",
    packaging_consumptions: [
      { uuid: uuid(2000 + number), product_slug: "cake-box", quantity_consumed: "5", unit: "each", total_cost: "3.25" },
    ],
    ...members,
  };
  return { kind: "assembly_run", record };
}

export const RUNS: Run[] = [baked(1), baked(2, { notes: null, consumptions: [] }), assembled(3)];

export const ROWS: CatalogRow[] = [
  { kind: "ingredient", record: { slug: "cream", display_name: "Crème fraîche 🥄" } },
  { kind: "recipe", record: { slug: "crème-brûlée", name: "Crème brûlée", uuid: uuid(5) } },
  { kind: "finished_unit", record: { slug: "ramekin", display_name: "Ramekin", recipe_slug: "crème-brûlée" } },
];
