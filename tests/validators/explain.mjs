// Judges documents by a JSON Schema as ajv sees it, in strict mode.
//
//     node explain.mjs SCHEMA.json < TEXTS.json > VERDICTS.json
//
// TEXTS.json is an array of documents, each as its raw JSON text. Each verdict says whether the document is
// valid, and the pointers (RFC 6901) to what is wrong; those to objects that lack all of some members, and to these
// members, are the `alternatives`.
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

const [schemaPath] = process.argv.slice(2);
const schema = JSON.parse(readFileSync(schemaPath, "utf8"));
const ajv = new Ajv2020({ strict: true, allErrors: true, verbose: true }).addSchema(schema);
const validate = ajv.compile({ $ref: schema.$id });

const escaped = (name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;

function pointer({ instancePath, params }) {
  const member = params.missingProperty ?? params.additionalProperty;
  return member === undefined ? instancePath : instancePath + escaped(member);
}

const lacking = ({ keyword, schema }) => (keyword === "not" && Object.keys(schema.properties ?? {})) || [];

function judge(text) {
  const valid = validate(JSON.parse(text));
  const errors = validate.errors ?? [];
  const ofChoices = errors.filter((error) => lacking(error).length > 0);
  return {
    valid,
    pointers: errors.filter((error) => !ofChoices.includes(error)).map(pointer),
    alternatives: ofChoices.flatMap((error) => ["", ...lacking(error).map(escaped)].map((end) => error.instancePath + end)),
  };
}

const texts = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map(judge)));
