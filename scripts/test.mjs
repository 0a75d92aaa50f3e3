/** Run the front end's unit tests, tests/js/*.test.js, with Node's own runner; exit as it does. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

const directory = new URL("../tests/js/", import.meta.url).pathname;
if (!existsSync(directory)) process.exit(0);
const files = readdirSync(directory).filter((name) => name.endsWith(".test.js")).map((name) => directory + name);
const run = spawnSync(process.execPath, ["--test", "--test-reporter=dot", ...files], { stdio: "inherit" });
process.exit(run.status ?? 1);
