// Serves built functions on workerd through miniflare's API: one node and one workerd process for
// all of them. `cargo xtask dev`, the tests on workerd and the benches start it.
//
// Standard input: one JSON document a line. The first starts the workers, each further one replaces
// them with the data kept; the end of the input ends everything, so that nothing outlives whoever
// started this. Standard output: one JSON line an answer, `{"ready": …}` or `{"error": "…"}`.
//
// The document:
//   host, port      where the first worker listens; 127.0.0.1 and 0 (any free port) by default
//   state           the folder where D1 and KV live; in memory without it
//   verbose         print what the functions log, on standard error
//   database        the D1 database id, `namespace` the KV id: one of each, shared by all workers
//   migrations      a folder of `*.sql`, applied in order, each once
//   seed            { unless, statements }: statements run as one batch where the query gives no row
//   workers         [{ name, directory, compatibilityDate, bindings, database, keyValue, services, direct }]
//                   bindings: variables and secrets (`secrets` only names those it needs); database, keyValue:
//                   whether it has `DB`, `CACHE`; storedSecrets: name → value, bound from a Secrets Store; services: binding → worker name; direct: a port of its own
//                   (0 = any free one)
// `dist/cloudflare/workers.json`, written by `cargo xtask build`, is such a document with all functions
// and without state, migrations, seed, variables and secrets.
//
// The answer: { ready: { url, direct: { worker: url }, workerd, migrations: [applied now], seeded } }
//   workerd: its process id, where the system tells (null elsewhere)
//
// A scheduled event: GET <url>/cdn-cgi/local/scheduled?cron=… with the header MF-Route-Override: <worker>.
import { spawn } from "node:child_process";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";

const MODULE_TYPES = { ".js": "ESModule", ".mjs": "ESModule", ".wasm": "CompiledWasm" };

let miniflare;

function modules(directory) {
  const files = readdirSync(directory, { recursive: true })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile() && extension(path) in MODULE_TYPES)
    // The first module is the entry.
    .sort((left, right) => entryFirst(directory, left) - entryFirst(directory, right));
  return files.map((path) => ({ type: MODULE_TYPES[extension(path)], path }));
}

const extension = (path) => path.slice(path.lastIndexOf("."));
const entryFirst = (directory, path) => (relative(directory, path) === "index.js" ? 0 : 1);

function worker(definition, document) {
  const directory = resolve(definition.directory);
  const options = {
    name: definition.name,
    modules: modules(directory),
    modulesRoot: directory,
    compatibilityDate: definition.compatibilityDate,
    bindings: definition.bindings ?? {},
    serviceBindings: definition.services ?? {},
  };
  if (definition.database) options.d1Databases = { DB: document.database };
  if (definition.keyValue) options.kvNamespaces = { CACHE: document.namespace };
  const stored = Object.keys(definition.storedSecrets ?? {}).map((name) => [name, { store_id: "local", secret_name: name }]);
  if (stored.length > 0) options.secretsStoreSecrets = Object.fromEntries(stored);
  if (definition.direct !== undefined) {
    options.unsafeDirectSockets = [{ host: document.host ?? "127.0.0.1", port: definition.direct }];
  }
  return options;
}

function options(document) {
  const shared = {
    host: document.host ?? "127.0.0.1",
    port: document.port ?? 0,
    // Nothing is asked of the outside: no request properties, no telemetry.
    cf: false,
    telemetry: { enabled: false },
    unsafeTriggerHandlers: true,
    log: new Log(LogLevel.ERROR),
    handleStructuredLogs: (entry) => {
      if (document.verbose || entry.level === "error") process.stderr.write(`${entry.message}\n`);
    },
    workers: document.workers.map((definition) => worker(definition, document)),
  };
  if (document.state) shared.resourcePersistencePath = resolve(document.state);
  return convertV4MiniflareOptions(shared);
}

// The table and the names are those of `wrangler d1 migrations apply`, which can go on from here.
async function migrate(database, folder) {
  await database
    .prepare(
      "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, " +
        "applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    )
    .run();
  const known = new Set((await database.prepare("SELECT name FROM d1_migrations").all()).results.map((row) => row.name));
  const pending = readdirSync(folder)
    .filter((name) => name.endsWith(".sql") && !known.has(name))
    .sort();
  for (const name of pending) {
    await database.batch([
      database.prepare(readFileSync(join(folder, name), "utf8")),
      database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
    ]);
  }
  return pending;
}

async function seed(database, { unless, statements }) {
  if ((await database.prepare(unless).all()).results.length > 0) return false;
  await database.batch(statements.map(({ sql, parameters }) => database.prepare(sql).bind(...parameters)));
  return true;
}

// workerd lives on when this process is killed without a chance to end it. This shell notices the end
// of its input and ends it then.
const reaper = spawn("sh", ["-c", 'while read line; do pid=$line; done; kill "$pid"'], {
  detached: true,
  stdio: ["pipe", "ignore", "ignore"],
});
reaper.unref();
reaper.stdin.unref();
reaper.stdin.on("error", () => {});

function workerdProcess() {
  try {
    return readdirSync("/proc/self/task")
      .flatMap((thread) => readFileSync(`/proc/self/task/${thread}/children`, "utf8").split(" "))
      .filter((pid) => pid !== "" && readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "workerd")
      .map(Number)[0] ?? null;
  } catch {
    // Not every system has /proc.
    return null;
  }
}

async function serve(document) {
  if (miniflare) await miniflare.setOptions(options(document));
  else miniflare = new Miniflare(options(document));
  const url = (await miniflare.ready).origin;
  const answer = { url, direct: {}, workerd: workerdProcess(), migrations: [], seeded: false };
  if (answer.workerd) reaper.stdin.write(`${answer.workerd}\n`);
  const owner = document.workers.find((definition) => definition.database);
  if (owner && (document.migrations || document.seed)) {
    const database = await miniflare.getD1Database("DB", owner.name);
    if (document.migrations) answer.migrations = await migrate(database, document.migrations);
    if (document.seed) answer.seeded = await seed(database, document.seed);
  }
  for (const definition of document.workers) {
    for (const [name, value] of Object.entries(definition.storedSecrets ?? {})) {
      await (await miniflare.getSecretsStoreSecretAPI(name, definition.name))().create(value);
    }
  }
  for (const definition of document.workers) {
    if (definition.direct === undefined) continue;
    answer.direct[definition.name] = (await miniflare.unsafeGetDirectURL(definition.name)).origin;
  }
  return answer;
}

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

let ending = false;
async function end() {
  if (ending) return;
  ending = true;
  await miniflare?.dispose().catch(() => {});
  process.exit(0);
}

process.on("SIGINT", end);
process.on("SIGTERM", end);
// Whoever started us may be gone without a word.
process.stdout.on("error", end);

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  try {
    say({ ready: await serve(JSON.parse(line)) });
  } catch (error) {
    // The rest of a long message is workerd's own log, shown already.
    say({ error: error.message.split("\n")[0] });
  }
}
await end();
