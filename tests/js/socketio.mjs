// Connects as CantinaOS's dashboard does and prints every event as a line of
// JSON: [name, payload]. Ends when its input ends.
//
//   node socketio.mjs http://127.0.0.1:8000 [--subscribe '{"events":["system"]}'] [--origin URL]
import { io } from "socket.io-client";

const [url, ...args] = process.argv.slice(2);
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const print = (...event) => process.stdout.write(JSON.stringify(event) + "\n");

const origin = option("--origin") ?? "http://localhost:3000";
const socket = io(url, {
  transports: ["websocket"],
  reconnection: false,
  extraHeaders: { Origin: origin },
});
socket.onAny((name, payload) => print(name, payload));
socket.on("connect", () => {
  print("connect");
  const subscription = option("--subscribe");
  if (subscription) socket.emit("subscribe_events", JSON.parse(subscription));
  const command = option("--command");
  if (command) socket.emit(...JSON.parse(command));
});
socket.on("connect_error", (error) => {
  print("connect_error", String(error.message), error.context?.statusCode ?? error.description);
  process.exit(0);
});
socket.on("disconnect", (reason) => {
  print("disconnect", reason);
  process.exit(0);
});
process.stdin.on("end", () => socket.close()).resume();
