// What the package makes of files, for tests in another language:
//
//     node dist/tests/peer.js < JOBS.json > RESULTS.json
//
// A job is {"from": FILE}, which is read, or {"from": FILE, "to": FILE}, which is read and written again. Its result
// has the header, the catalog rows and the runs as lines of a stream, and the trailer; or the error.
import { json } from "node:stream/consumers";
import { stdin } from "node:process";
import { HistoryError, readStream, writeStream, type Item } from "../src/index.js";

interface Job {
  from: string;
  to?: string;
}

async function done({ from, to }: Job): Promise<object> {
  const stream = readStream(from);
  const items: object[] = [];
  async function* noted(): AsyncGenerator<Item> {
    for await (const item of stream) {
      items.push({ [item.kind]: item.record });
      yield item;
    }
  }
  try {
    if (to === undefined) for await (const _ of noted());
    else await writeStream(to, noted());
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    return { error: error.name, line: error.line, message: error.message };
  }
  return { header: stream.header, items, trailer: stream.trailer };
}

const results: object[] = [];
for (const job of (await json(stdin)) as Job[]) results.push(await done(job));
console.log(JSON.stringify(results));
