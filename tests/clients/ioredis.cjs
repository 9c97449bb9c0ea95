// Drives ioredis against one node: node ioredis.cjs LIBRARY HOST PORT [CA [CERTIFICATE KEY]], over TLS if there is
// an authority. Prints one line of JSON:
// how many checks passed, and the texts of those that failed. Exit code 1 if any failed.
"use strict";
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const [library, host, port, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((file) => readFileSync(file));
const Redis = require(library);

const passed = [];
const failed = [];

async function check(name, body) {
  try {
    await body();
    passed.push(name);
  } catch (error) {
    failed.push(`${name}: ${error.message}`);
  }
}

const open = (options) => new Redis({ host, port: Number(port), maxRetriesPerRequest: 1, ...(ca && { tls: { ca, cert, key } }), ...options });

async function values(redis) {
  await check("the ready check passes", async () => {
    if (redis.status !== "ready") await new Promise((resolve) => redis.once("ready", resolve));
  });
  await check("SET and GET", async () => {
    assert.equal(await redis.set("k", "v"), "OK");
    assert.equal(await redis.get("k"), "v");
    assert.equal(await redis.get("absent"), null);
  });
  await check("SET with options", async () => {
    assert.equal(await redis.set("k", "w", "EX", 100, "NX"), null);
    assert.equal(await redis.set("k", "w", "PX", 100000, "XX"), "OK");
    const ttl = await redis.ttl("k");
    assert.ok(ttl > 90 && ttl <= 100, `${ttl}`);
  });
  await check("objects and maps for MSET", async () => {
    assert.equal(await redis.mset({ a: 1, b: 2 }), "OK");
    assert.deepEqual(await redis.mget("a", "b", "c"), ["1", "2", null]);
  });
  await check("counters", async () => {
    assert.equal(await redis.incr("n"), 1);
    assert.equal(await redis.incrby("n", 41), 42);
    assert.equal(await redis.incrbyfloat("n", 0.5), "42.5");
  });
  await check("buffers", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await redis.set("binary", bytes);
    assert.deepEqual(await redis.getBuffer("binary"), bytes);
  });
  await check("keys", async () => {
    assert.equal(await redis.exists("k", "a", "absent"), 2);
    assert.equal(await redis.del("a", "b"), 2);
    assert.equal(await redis.type("k"), "string");
    assert.equal(await redis.expire("k", 50), 1);
    assert.equal(await redis.persist("k"), 1);
  });
  await check("errors are rejected as replies", async () => {
    await assert.rejects(redis.incr("binary"), { name: "ReplyError", message: /not an integer/ });
    await assert.rejects(redis.call("NOTHING"), { name: "ReplyError", message: /unknown command/ });
    assert.equal(await redis.ping(), "PONG");
  });
}

async function groups(redis) {
  await check("pipelines", async () => {
    const pipeline = redis.pipeline();
    for (let number = 0; number < 300; number++) pipeline.set(`p${number}`, number).get(`p${number}`);
    const replies = await pipeline.exec();
    assert.equal(replies.length, 600);
    assert.deepEqual(replies[599], [null, "299"]);
  });
  await check("an error inside of a pipeline", async () => {
    const replies = await redis.pipeline().set("text", "x").incr("text").get("text").exec();
    assert.equal(replies[1][0].name, "ReplyError");
    assert.deepEqual(replies[2], [null, "x"]);
  });
  await check("pipelined multi", async () => {
    const replies = await redis.multi().set("m", 1).incr("m").get("m").exec();
    assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
  });
  await check("multi without a pipeline", async () => {
    await redis.multi({ pipeline: false });
    assert.equal(await redis.set("m", 5), "QUEUED");
    assert.equal(await redis.incr("m"), "QUEUED");
    assert.deepEqual(await redis.exec(), [[null, "OK"], [null, 6]]);
  });
  await check("discard", async () => {
    await redis.multi({ pipeline: false });
    await redis.set("m", 99);
    assert.equal(await redis.discard(), "OK");
    assert.equal(await redis.get("m"), "6");
  });
  await check("a transaction with a wrong command is rejected", async () => {
    await assert.rejects(redis.multi().set("m", 1).call("NOTHING").exec(), /EXECABORT/);
    assert.equal(await redis.get("m"), "6");
  });
  await check("automatic pipelining", async () => {
    const automatic = open({ enableAutoPipelining: true });
    const replies = await Promise.all(Array.from({ length: 100 }, (_, number) => automatic.incr(`auto${number % 10}`)));
    assert.equal(replies.reduce((sum, reply) => sum + reply, 0), 550);
    await automatic.quit();
  });
}

async function connections(redis) {
  await check("watch", async () => {
    const other = open();
    await redis.set("w", 1);
    await redis.watch("w");
    await other.set("w", 2);
    assert.equal(await redis.multi().set("w", 3).exec(), null);
    assert.equal(await redis.get("w"), "2");
    await other.quit();
  });
  await check("scan streams", async () => {
    await redis.flushdb();
    await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, number) => [`user:${number}`, number])));
    const found = new Set();
    for await (const keys of redis.scanStream({ match: "user:*", count: 30 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 500);
  });
  await check("other databases", async () => {
    const other = open({ db: 9 });
    await other.set("only here", 1);
    assert.equal(await redis.get("only here"), null);
    assert.equal(await other.dbsize(), 1);
    await other.flushdb();
    await other.quit();
  });
  await check("names", async () => {
    const named = open({ connectionName: "by-ioredis" });
    assert.equal(await named.client("GETNAME"), "by-ioredis");
    assert.ok((await redis.client("LIST")).includes("name=by-ioredis"));
    await named.quit();
  });
  await check("reconnecting", async () => {
    const fickle = open({ retryStrategy: () => 20 });
    await fickle.ping();
    fickle.disconnect(true);
    assert.equal(await fickle.ping(), "PONG");
    await fickle.quit();
  });
  await check("INFO and CONFIG", async () => {
    assert.ok((await redis.info()).includes("loading:0"));
    assert.deepEqual(await redis.config("GET", "maxmemory"), ["maxmemory", "0"]);
  });
  await check("read-only connections", async () => {
    const reader = open({ readOnly: true });
    assert.equal(await reader.get("absent"), null);
    await reader.quit();
  });
}

(async () => {
  const redis = open();
  redis.on("error", (error) => failed.push(`connection: ${error.message}`));
  await values(redis);
  await groups(redis);
  await connections(redis);
  await check("quit", async () => assert.equal(await redis.quit(), "OK"));
  console.log(JSON.stringify({ passed: passed.length, failed }));
  process.exit(failed.length === 0 ? 0 : 1);
})();
