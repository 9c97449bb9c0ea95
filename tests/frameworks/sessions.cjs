// A web application with express-session and connect-redis: each request adds to what its session holds.
// argv: folder of the packages, url of a node, requests. Prints "half" when half is done, then a report as JSON.

const http = require("node:http");
const { createRequire } = require("node:module");

const [folder, url, count] = process.argv.slice(2);
const load = createRequire(`${folder}/package.json`);
const session = load("express-session");
const { RedisStore } = load("connect-redis");
const { createClient } = load("redis");

async function main() {
  const client = await createClient({ url }).on("error", (error) => console.error(error)).connect();
  const store = new RedisStore({ client, prefix: "sess:", ttl: 60 });
  const open = session({ store, secret: "a secret", resave: false, saveUninitialized: false });
  const server = http.createServer((request, response) => {
    open(request, response, () => {
      if (request.url === "/leave") {
        return request.session.destroy(() => response.end("left"));
      }
      request.session.basket = [...(request.session.basket ?? []), request.url];
      response.end(JSON.stringify(request.session.basket));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;

  let cookie = "";
  let basket = [];
  for (let number = 0; number < Number(count); number++) {
    const answer = await fetch(`${base}/${number}`, { headers: { cookie } });
    cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? cookie;
    basket = await answer.json();
    if (number === Math.floor(Number(count) / 2)) console.log("half");
  }
  const sessions = await store.all();
  const ttl = await client.ttl((await store.ids()).map((id) => `sess:${id}`)[0]);
  await fetch(`${base}/leave`, { headers: { cookie } });
  console.log(JSON.stringify({ basket, sessions: sessions.length, ttl, left: await store.length() }));
  server.close();
  client.destroy();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
