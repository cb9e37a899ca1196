// The Solidity compiler from npm (`solc`, compiled to JavaScript) behind the command line of the native one.
//
// py-solc-x, ape and forge each call a `solc` executable; this answers the part of its command line that they use:
//   --version                            Version: 0.8.37+commit...
//   --standard-json [INPUT]              standard JSON from INPUT or stdin, the result to stdout
//   --base-path P  --include-path P ...  where imports that the input does not carry are read from
//   --allow-paths P                      accepted; reading is bounded by the paths above
// A result is kept, and given again while its input and the files it read are the same: compiling through the IR is slow.
// The metadata trailer is left off for every caller: it hashes file names and settings that say nothing about the code,
// ape has no setting for it, and without it ape, forge and py-solc-x give the same bytecode.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const crypto = require("node:crypto");

const root = path.resolve(__dirname, "..", "..");
const cacheFolder = path.join(root, ".toolchain", "solc-cache");

function parse(argv) {
  const options = { basePath: "", includePaths: [], input: "-" };
  for (let i = 0; i < argv.length; i++) {
    const [name, inline] = argv[i].split(/=(.*)/s);
    const value = () => inline ?? argv[++i];
    if (name === "--version") options.version = true;
    else if (name === "--standard-json") options.standardJson = true;
    else if (name === "--base-path") options.basePath = value();
    else if (name === "--include-path") options.includePaths.push(value());
    else if (name === "--allow-paths") value();
    else if (name.startsWith("--")) fail(`unknown option ${name}`);
    else options.input = argv[i];
  }
  return options;
}

function fail(message) {
  process.stderr.write(`solc wrapper: ${message}\n`);
  process.exit(1);
}

function load() {
  return require(path.join(root, "node_modules", "solc"));
}

function version() {
  // Read from package.json, not from the compiler: loading it takes most of a second and tools ask often.
  return require(path.join(root, "node_modules", "solc", "package.json")).version;
}

function readInput(options) {
  const input = JSON.parse(fs.readFileSync(options.input === "-" ? 0 : options.input, "utf8"));
  input.settings = { ...input.settings, metadata: { appendCBOR: false, bytecodeHash: "none" } };
  return JSON.stringify(input);
}

function compile(options) {
  const input = readInput(options);
  const cacheFile = path.join(cacheFolder, `${digest(`${version()}\n${input}`)}.json`);
  const cached = readCache(cacheFile);
  if (cached !== undefined) return cached;

  const folders = [options.basePath || ".", ...options.includePaths];
  const read = {}; // file -> digest, of what the compiler read beside its input
  const findImport = (name) => {
    for (const folder of folders) {
      const file = path.resolve(folder, name);
      if (!fs.existsSync(file)) continue;
      const contents = fs.readFileSync(file, "utf8");
      read[file] = digest(contents);
      return { contents };
    }
    return { error: `${name} not found in ${folders.join(", ")}` };
  };
  const output = load().compile(input, { import: findImport });
  writeCache(cacheFile, read, output);
  return output;
}

function digest(text) {
  return crypto.createHash("sha256").update(text).digest("hex");
}

function readCache(cacheFile) {
  if (!fs.existsSync(cacheFile)) return undefined;
  const { read, output } = JSON.parse(fs.readFileSync(cacheFile, "utf8"));
  const unchanged = ([file, was]) => fs.existsSync(file) && digest(fs.readFileSync(file, "utf8")) === was;
  return Object.entries(read).every(unchanged) ? output : undefined;
}

function writeCache(cacheFile, read, output) {
  const failed = (JSON.parse(output).errors ?? []).some((error) => error.severity === "error");
  if (failed) return; // an import that was not found may be there the next time
  fs.mkdirSync(cacheFolder, { recursive: true });
  const partial = `${cacheFile}.${process.pid}`;
  fs.writeFileSync(partial, JSON.stringify({ read, output }));
  fs.renameSync(partial, cacheFile); // whole or not at all, also when two compile at once
}

const options = parse(process.argv.slice(2));
if (options.version) {
  process.stdout.write(
    `solc, the solidity compiler commandline interface\nVersion: ${load().version()}\n`,
  );
} else if (options.standardJson) {
  process.stdout.write(compile(options));
} else {
  fail("only --version and --standard-json are supported");
}
