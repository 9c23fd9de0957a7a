// Judges JSON texts as @sourcemeta/jsonschema does, a program that is written in C++. judge.mjs says what is read and
// written.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { spawn } from "@sourcemeta/jsonschema";

const { schemas, texts } = await json(process.stdin);
const verdicts = texts.map(() => null);
const cwd = mkdtempSync(join(tmpdir(), "sourcemeta-"));

/** Judges the texts with these places: the program judges all lines of a file, or fails because of one of them. */
async function judge(places) {
  const lines = places.map((place) => `${texts[place][1].replaceAll(/[\r\n]/g, " ")}\n`);
  writeFileSync(join(cwd, "texts.jsonl"), lines.join(""));
  const command = ["validate", "schema.json", "texts.jsonl", "--verbose", "--continue", "--fast"];
  const { stdout, stderr } = await spawn(command, { cwd });
  const found = [...`${stdout}\n${stderr}`.matchAll(/^(ok|fail): texts\.jsonl \(entry #(\d+)\)$/gm)];
  if (found.length === places.length) {
    for (const [, verdict, entry] of found) verdicts[places[entry - 1]] = verdict === "ok";
  } else if (places.length > 1) {
    const half = places.length >> 1;
    await judge(places.slice(0, half));
    await judge(places.slice(half));
  }
}

/**
 * Whether a text has what makes it end without a verdict on any line: half of a surrogate pair, or a number of more than
 * 64 bits where the schema wants an integer. Such texts are not given to it.
 */
function endsIt(text) {
  const unescaped = text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|.)/g, (_, code) =>
    code === undefined ? " " : String.fromCharCode(parseInt(code, 16)),
  );
  let isLarge = false;
  JSON.parse(text, (_, value) => {
    isLarge ||= typeof value === "number" && Math.abs(value) >= 2 ** 63;
  });
  return isLarge || !unescaped.isWellFormed();
}

for (const [name, schema] of Object.entries(schemas)) {
  writeFileSync(join(cwd, "schema.json"), JSON.stringify(schema));
  const places = [...texts.keys()].filter((place) => texts[place][0] === name);
  const judged = places.filter((place) => !endsIt(texts[place][1]));
  for (let start = 0; start < judged.length; start += 200) await judge(judged.slice(start, start + 200));
}
rmSync(cwd, { recursive: true });
console.log(JSON.stringify(verdicts));
