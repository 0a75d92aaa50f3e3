/**
 * Bundle the front end into static/build/, one file an entry (Django's storage hashes and names them later, which
 * is why nothing is split into chunks that import each other by name).
 *
 *     node scripts/build.mjs            once, minified
 *     node scripts/build.mjs --watch    on every change, with source maps
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build, context } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "static", "build");
const watching = process.argv.includes("--watch");

const options = (outdir) => ({
  absWorkingDir: root,
  entryPoints: [
    { in: "static/js/app.js", out: "app" },
    { in: "static/js/live.js", out: "live" },
    { in: "static/css/app.css", out: "app" },
    { in: "static/js/vendor/chart.js", out: "chart" },
    { in: "static/js/vendor/editor.js", out: "editor" },
    { in: "static/js/vendor/fonts.css", out: "fonts" },
  ],
  outdir,
  bundle: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  minify: !watching,
  sourcemap: watching,
  legalComments: "eof",
  loader: { ".woff2": "file" },
  assetNames: "fonts/[name]",
  external: ["/static/*"],
  logLevel: "warning",
});

/** Built aside and moved into place: a server that runs meanwhile never sees half a build. */
async function buildOnce() {
  const fresh = join(root, "node_modules", ".build");
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { recursive: true });
  await build(options(fresh));
  await rm(target, { recursive: true, force: true });
  await rename(fresh, target);
}

async function watch() {
  const builds = await context({ ...options(target), logLevel: "info" });
  await builds.watch();
}

await (watching ? watch() : buildOnce()).catch(() => process.exit(1));
