// Runs `wrangler deploy --dry-run` for one manifest after another in one process: `node dry_run.mjs FOLDER…`,
// each with a wrangler.toml; the bundle goes to FOLDER/out. A process for each would spend nearly all of its
// time reading wrangler. What wrangler says of one is shown only where it refuses it.

import { readFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(import.meta.url);

const run = commandLine(require.resolve("wrangler"));
const refused = [];
for (const folder of process.argv.slice(2)) {
  const said = await listen(() =>
    run(["deploy", "--dry-run", "--config", join(folder, "wrangler.toml"), "--outdir", join(folder, "out")]),
  );
  if (said.failed) {
    refused.push(folder);
    process.stderr.write(`✗ ${folder}\n${said.words}\n`);
  }
}
process.stdout.write(`${process.argv.length - 2 - refused.length} accepted, ${refused.length} refused\n`);
process.exit(refused.length === 0 ? 0 : 1);

/** wrangler's command line as a function of its arguments; its package exports it as a program alone. */
function commandLine(path) {
  const program = new Module(path);
  program.filename = path;
  program.paths = Module._nodeModulePaths(join(path, ".."));
  program._compile(`${readFileSync(path, "utf8")}\nexports.main = main;`, path);
  return program.exports.main;
}

/** Whether `work` failed, by a rejection or by the exit status it left, and what was written meanwhile. */
async function listen(work) {
  let words = "";
  const streams = [process.stdout, process.stderr];
  const writes = streams.map((stream) => stream.write);
  for (const stream of streams) {
    stream.write = (text) => {
      words += text;
      return true;
    };
  }
  process.exitCode = 0;
  let failed = false;
  try {
    await work();
  } catch (error) {
    failed = true;
    words += `${error}\n`;
  }
  streams.forEach((stream, position) => {
    stream.write = writes[position];
  });
  failed ||= Boolean(process.exitCode);
  return { failed, words };
}
