// What a sealed stream holds:
//
//     node dist/src/inspect.js FILE
//     node dist/src/inspect.js - < FILE
import process, { argv, stdin } from "node:process";
import { HistoryError, instant, isRun, KINDS, madeAt, readStream, type Kind, type Timestamp } from "./index.js";

interface Span {
  count: number;
  first: Timestamp;
  last: Timestamp;
}

async function inspect(path: string): Promise<void> {
  const stream = readStream(path === "-" ? stdin : path);
  const spans = new Map<Kind, Span>();
  for await (const item of stream) {
    if (!isRun(item)) continue;
    const at = madeAt(item);
    const { count, first, last } = spans.get(item.kind) ?? { count: 0, first: at, last: at };
    spans.set(item.kind, {
      count: count + 1,
      first: instant(at) < instant(first) ? at : first,
      last: instant(at) > instant(last) ? at : last,
    });
  }
  // Only here is it certain that these are the runs and rows that were sealed.
  console.log(`format ${stream.header?.version}, exported at ${stream.header?.exported_at ?? "a time not told"}`);
  for (const kind of KINDS) {
    const span = spans.get(kind);
    console.log(span === undefined ? `0 ${kind}` : `${span.count} ${kind} from ${span.first} to ${span.last}`);
  }
  for (const kind of stream.header?.catalog ?? []) {
    console.log(`${stream.trailer?.counts[kind] ?? 0} ${kind}, of the catalog`);
  }
  console.log(`sha256 ${stream.trailer?.sha256}`);
}

const [path, ...more] = argv.slice(2);
if (path === undefined || more.length > 0) {
  console.error("usage: node dist/src/inspect.js FILE");
  process.exitCode = 2;
} else {
  try {
    await inspect(path);
  } catch (error) {
    const isOfFile = error instanceof HistoryError || (error instanceof Error && "syscall" in error);
    if (!isOfFile) throw error;
    console.error(`${path}: ${error.message}`);
    process.exitCode = 1;
  }
}
