// A queue of BullMQ with two workers at a second node. argv: folder of the packages, ports of two nodes, jobs.
// Prints each job that runs as "ran N", then "done" with a report as JSON.

const { createRequire } = require("node:module");

const [folder, first, second, count] = process.argv.slice(2);
const { Queue, Worker, QueueEvents, FlowProducer } = createRequire(`${folder}/package.json`)("bullmq");
const at = (port) => ({ host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null });

async function work(job) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  console.log(`ran ${job.data.number}`);
  if (job.name === "again" && job.attemptsMade === 0) throw new Error("not yet");
  return job.data.number * job.data.number;
}

async function main() {
  const queue = new Queue("jobs", { connection: at(first) });
  const events = new QueueEvents("jobs", { connection: at(first) });
  const flows = new FlowProducer({ connection: at(first) });
  await events.waitUntilReady();
  const workers = [0, 1].map(() => new Worker("jobs", work, { connection: at(second) }));
  const jobs = await queue.addBulk(
    Array.from({ length: Number(count) }, (_, number) => ({ name: "work", data: { number } })),
  );
  jobs.push(await queue.add("again", { number: 1000 }, { attempts: 2, backoff: 100 }));
  jobs.push(await queue.add("later", { number: 1001 }, { delay: 500 }));
  jobs.push(await queue.add("first", { number: 1002 }, { priority: 1 }));
  const child = (number) => ({ name: "work", data: { number }, queueName: "jobs" });
  const flow = { ...child(1003), children: [child(1004), child(1005)] };
  jobs.push((await flows.add(flow)).job);
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 25000)));
  const counts = await queue.getJobCounts("completed", "failed", "wait", "active", "delayed");
  console.log(`done ${JSON.stringify({ results, counts })}`);
  await Promise.all([...workers, queue, events, flows].map((each) => each.close()));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
