// Searches for patterns in JavaScript, with the flag in the first argument. test_patterns.py describes input and output.
import { readFileSync } from "node:fs";

const lines = readFileSync(0, "utf8").split("\n").slice(0, -1);
const decoded = (line) => line.split(" ").filter(Boolean).map((each) => String.fromCodePoint(parseInt(each, 16))).join("");
const [count, ...rest] = lines;
const patterns = rest.slice(0, Number(count)).map((line) => new RegExp(decoded(line), process.argv[2]));
const texts = rest.slice(Number(count)).map(decoded);
for (const pattern of patterns) console.log(texts.map((text) => (pattern.test(text) ? "1" : "0")).join(""));
