// Takes entries in as a dashboard does, and says how late they come.
//
//   node latency.mjs http://127.0.0.1:8000 socketio|sse RUN
//
// Counts messages with `run=RUN n=… t=…`, where t is the monotonic clock in
// nanoseconds. Prints "ready" once connected; when its input ends, it takes in
// what still comes and prints a line of JSON: the milliseconds of each entry,
// and how many came twice.
import { io } from "socket.io-client";

const [url, way, run] = process.argv.slice(2);
const GRACE_MS = 300;
const pattern = /run=(\S+) n=(\d+) t=(\d+)/;
const seen = new Map();
let twice = 0;

function take(message, now) {
  const found = pattern.exec(message);
  if (found?.[1] !== run) return;
  if (seen.has(found[2])) twice += 1;
  else seen.set(found[2], Number(now - BigInt(found[3])) / 1e6);
}

function print(line) {
  process.stdout.write(line + "\n");
}

function overSocketIo() {
  const socket = io(url, {
    transports: ["websocket"],
    reconnection: false,
    extraHeaders: { Origin: "http://localhost:3000" },
  });
  socket.on("system_status", () => print("ready"));
  socket.on("system_log", (payload) => take(payload.data.message, process.hrtime.bigint()));
  socket.on("connect_error", (error) => fail(error.message));
  socket.on("disconnect", (reason) => fail(reason));
}

async function overSse() {
  const response = await fetch(`${url}/api/logs/stream`);
  if (!response.ok) fail(`HTTP ${response.status}`);
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body) {
    const now = process.hrtime.bigint();
    text += decoder.decode(bytes, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    events.forEach((event) => takeEvent(event, now));
  }
  fail("the stream ended");
}

function takeEvent(event, now) {
  const value = (name) =>
    event
      .split("\n")
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2))
      .join("\n");
  const name = value("event");
  if (name === "session") print("ready");
  if (name === "entry") JSON.parse(value("data")).forEach((entry) => take(entry.message, now));
}

function fail(reason) {
  console.error(`${way}: ${reason}`);
  process.exit(1);
}

process.stdin
  .on("end", () => {
    setTimeout(() => {
      process.stdout.write(JSON.stringify({ ms: [...seen.values()], twice }) + "\n", () =>
        process.exit(0),
      );
    }, GRACE_MS);
  })
  .resume();
if (way === "socketio") overSocketIo();
else await overSse();
