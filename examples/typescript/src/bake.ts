// A history of one run, for a database with the recipe chocolate-chip-cookies and its finished unit cookie:
//
//     node dist/src/bake.js FILE
import { randomUUID } from "node:crypto";
import { argv, exit } from "node:process";
import { writeStream, type ProductionRun, type Run } from "./index.js";

const [path] = argv.slice(2);
if (path === undefined) {
  console.error("node dist/src/bake.js FILE");
  exit(2);
}

const cookies: ProductionRun = {
  uuid: randomUUID(),
  recipe_slug: "chocolate-chip-cookies",
  finished_unit_slug: "cookie",
  num_batches: 2,
  expected_yield: 96,
  actual_yield: 92,
  produced_at: new Date().toISOString(),
  total_ingredient_cost: "5.2500",
  per_unit_cost: "0.0571",
  consumptions: [
    {
      uuid: randomUUID(),
      ingredient_slug: "flour",
      quantity_consumed: "1.200",
      unit: "kg",
      total_cost: "1.3800",
    },
  ],
};

function* runs(): Generator<Run> {
  yield { kind: "production_run", record: cookies };
}

const trailer = await writeStream(path, runs());
console.log(`${path}: ${trailer.counts.production_run} production_run, sha256 ${trailer.sha256}`);
