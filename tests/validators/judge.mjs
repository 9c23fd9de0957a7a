// Judges JSON texts as a validator from npm does.
//
//     node judge.mjs VALIDATOR < GIVEN.json > VERDICTS.json
//
// All programs of this folder read and write the same. GIVEN.json has `schemas`, by name, and `texts`, each a pair of
// the name of a schema and a JSON text. A verdict is true or false, or null if there is none.
import { json } from "node:stream/consumers";
import * as hyperjump from "@hyperjump/json-schema/draft-2020-12";
import { Validator } from "@cfworker/json-schema";
import { validator } from "@exodus/schemasafe";
import Ajv2020 from "ajv/dist/2020.js";

const compilers = {
  ajv: (schema) => new Ajv2020({ strict: true }).compile(schema),
  "@cfworker/json-schema": (schema) => {
    const compiled = new Validator(schema, "2020-12");
    return (value) => compiled.validate(value).valid;
  },
  "@exodus/schemasafe": (schema) => validator(schema),
  "@hyperjump/json-schema": async (schema) => {
    hyperjump.registerSchema(schema);
    const compiled = await hyperjump.validate(schema.$id);
    return (value) => compiled(value).valid;
  },
};

const { schemas, texts } = await json(process.stdin);
const compiled = {};
for (const [name, schema] of Object.entries(schemas)) compiled[name] = await compilers[process.argv[2]](schema);

function judge([name, text]) {
  try {
    return compiled[name](JSON.parse(text));
  } catch {
    return null;
  }
}

console.log(JSON.stringify(texts.map(judge)));
