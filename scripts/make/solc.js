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
  const folders = [options.basePath || ".", ...options.includePaths];
  // Another compiler or another state of this file does not meet old results.
  const key = digest([version(), fs.readFileSync(__filename, "utf8"), input].join("\n"));
  const cacheFile = path.join(cacheFolder, `${key}.json`);
  const cached = readCache(cacheFile, folders);
  if (cached !== undefined) return cached;

  const imports = {}; // name -> digest, of what the compiler read beside its input
  const findImport = (name) => {
    const contents = readImport(name, folders);
    if (contents === undefined) return { error: `${name} not found in ${folders.join(", ")}` };
    imports[name] = digest(contents);
    return { contents };
  };
  const output = load().compile(input, { import: findImport });
  writeCache(cacheFile, { imports, output });
  return output;
}

function readImport(name, folders) {
  const file = folders.map((folder) => path.resolve(folder, name)).find((candidate) => fs.existsSync(candidate));
  return file === undefined ? undefined : fs.readFileSync(file, "utf8");
}

function digest(text) {
  return crypto.createHash("sha256").update(text).digest("hex");
}

function readCache(cacheFile, folders) {
  if (!fs.existsSync(cacheFile)) return undefined;
  const { imports, output } = JSON.parse(fs.readFileSync(cacheFile, "utf8"));
  const unchanged = ([name, was]) => digest(readImport(name, folders) ?? "") === was;
  return Object.entries(imports).every(unchanged) ? output : undefined;
}

function writeCache(cacheFile, entry) {
  const failed = (JSON.parse(entry.output).errors ?? []).some((error) => error.severity === "error");
  if (failed) return; // an import that was not found may be there the next time
  fs.mkdirSync(cacheFolder, { recursive: true });
  const partial = `${cacheFile}.${process.pid}`;
  fs.writeFileSync(partial, JSON.stringify(entry));
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
