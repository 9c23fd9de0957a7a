// Judges documents by a JSON Schema as ajv sees it, in strict mode.
//
//     node validate.mjs SCHEMA.json [#/$defs/NAME] < TEXTS.json > VERDICTS.json
//
// TEXTS.json is an array of documents, each as its raw JSON text. Each verdict says whether the document is
// valid, and the pointers (RFC 6901) to what is wrong: `pointers` to what no choice would mend, `alternatives`
// to what ajv finds in or at an `anyOf`, where each branch complains of what another may have, and to the members of
// an object that must not lack all of them, with the object.
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

const [schemaPath, definition = ""] = process.argv.slice(2);
const schema = JSON.parse(readFileSync(schemaPath, "utf8"));
const ajv = new Ajv2020({ strict: true, allErrors: true, verbose: true }).addSchema(schema);
const validate = ajv.compile({ $ref: schema.$id + definition });

const escaped = (name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;

function pointer({ instancePath, params }) {
  const member = params.missingProperty ?? params.additionalProperty;
  return member === undefined ? instancePath : instancePath + escaped(member);
}

const membersOf = ({ keyword, schema }) => (keyword === "not" && Object.keys(schema.properties ?? {})) || [];

function judge(text) {
  const valid = validate(JSON.parse(text));
  const errors = validate.errors ?? [];
  const ofAnyOf = ({ schemaPath }) => /\/anyOf(\/|$)/.test(schemaPath);
  const isChoice = (error) => ofAnyOf(error) || membersOf(error).length > 0;
  return {
    valid,
    pointers: errors.filter((error) => !isChoice(error)).map(pointer),
    alternatives: errors
      .filter(isChoice)
      .flatMap((error) => [pointer(error), ...membersOf(error).map((name) => error.instancePath + escaped(name))]),
  };
}

const texts = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map(judge)));
