#!/usr/bin/env node
// Hardhat's node behind Anvil's options, so that MOLT_ANVIL can name it: --port, --hardfork, --accounts, --mnemonic,
// --chain-id, --block-time. Says where it listens in Anvil's words, and ends with the process that started it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";

const DEFAULTS = { port: "0", hardfork: "prague", accounts: "10", "chain-id": "31337" };
const given = process.argv.slice(2);
const options = { ...DEFAULTS };
for (let at = 0; at < given.length; at += 2) options[given[at].replace(/^--/, "")] = given[at + 1];

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const interval = Number(options["block-time"] ?? 0) * 1_000;
const port = Number(options.port) || (await freePort());
const hardhat = dirname(createRequire(import.meta.url).resolve("hardhat/package.json"));
const node = {
  type: "edr-simulated",
  chainType: "l1",
  chainId: Number(options["chain-id"]),
  hardfork: options.hardfork,
  accounts: { mnemonic: options.mnemonic, count: Number(options.accounts), accountsBalance: String(10n ** 22n) },
  mining: { auto: interval === 0, interval },
  throwOnTransactionFailures: false, // a reverted transaction is mined, as on any chain
};

// Its settings have to lie inside a package of their own.
const folder = mkdtempSync(join(hardhat, ".molt-"));
writeFileSync(join(folder, "package.json"), '{"type": "module"}');
writeFileSync(join(folder, "hardhat.config.js"), `export default ${JSON.stringify({ networks: { node } })};`);
const cli = [join(hardhat, "dist/src/cli.js"), "--config", join(folder, "hardhat.config.js")];
const child = spawn(process.execPath, [...cli, "node", "--hostname", "127.0.0.1", "--port", String(port)], {
  cwd: folder,
  stdio: ["ignore", "pipe", "inherit"],
});
const end = (code) => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
};
child.on("exit", (code) => end(code ?? 1));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"])
  process.on(signal, () => {
    child.removeAllListeners("exit");
    child.kill("SIGKILL");
    end(0);
  });
let said = "";
child.stdout.on("data", (data) => {
  if (said === null) return;
  said += data;
  if (!said.includes("Started HTTP")) return;
  said = null;
  console.log(`Listening on 127.0.0.1:${port}`);
});
