// Runs a command while npm's `peer` serves, whose address is in PEERJS_SERVER.
//
//     node peerjs.mjs NODE_MODULES COMMAND [ARGUMENT...]

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

const [modules, command, ...rest] = process.argv.slice(2);
const { PeerServer } = createRequire(path.resolve(modules, "unused.js"))("peer");

PeerServer({ host: "127.0.0.1", port: 0, path: "/" }, (server) => {
  const { port } = server.address();
  const environment = { ...process.env, PEERJS_SERVER: `ws://127.0.0.1:${port}/peerjs` };
  const child = spawn(command, rest, { stdio: "inherit", env: environment });
  child.on("error", (error) => {
    console.error(error.message);
    process.exit(1);
  });
  child.on("exit", (code) => process.exit(code ?? 1));
});
