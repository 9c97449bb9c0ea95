// ioredis under load over TLS against one node, until standard input ends: node load.cjs LIBRARY HOST PORT CA
// [CERTIFICATE KEY]. It does and tells what tests/clients/rust does.
"use strict";
const { readFileSync } = require("node:fs");
const [library, host, port, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((file) => readFileSync(file));
const Redis = require(library);

const report = { stays: 0, comes: 0, again: 0, failed: [] };
const pause = () => new Promise((resolve) => setTimeout(resolve, 2));
// Commands wait for as long as it takes: the library connects again and sends again what was under way.
const open = () => {
  const client = new Redis({ host, port: Number(port), tls: { ca, cert, key }, maxRetriesPerRequest: null, retryStrategy: () => 50 });
  client.on("error", () => (report.again += 1));
  return client;
};

async function load(name) {
  const own = `${name}:${process.pid}`;
  let client = null;
  for (let value = 1; ; value++) {
    try {
      client ??= open();
      await client.set(own, value);
      const found = await client.get(own);
      if (found !== String(value)) throw new Error(`${own} is ${found}, not ${value}`);
      report[name] += 1;
    } catch (error) {
      report.failed.push(`${name}: ${error.message}`);
    }
    if (name === "comes") {
      client.disconnect();
      client = null;
    }
    await pause();
  }
}

load("stays");
load("comes");
setInterval(() => console.log(JSON.stringify(report)), 100);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
