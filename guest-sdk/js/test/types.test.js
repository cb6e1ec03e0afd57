/** The types know all that the SDK exports. `check-types` checks them with TypeScript. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "wasmill-sdk";
import * as testing from "wasmill-sdk/testing";

/** Public to the SDK's own modules only. */
const INTERNAL = ["constructor", "part", "encodedHeaders"];

const typed = (file) => readFileSync(new URL(`../types/${file}.d.ts`, import.meta.url), "utf8");
const exported = (text) => new Set([...text.matchAll(/^export (?:class|const|function|namespace) (\w+)/gm)].map(([, name]) => name));

test("what is exported has a type, and nothing else has", () => {
  for (const [file, module] of [["index", sdk], ["testing", testing]]) {
    assert.deepEqual([...exported(typed(file))].sort(), Object.keys(module).sort());
  }
});

test("what a class offers has a type", () => {
  for (const [file, module] of [["index", sdk], ["testing", testing]]) {
    const text = typed(file);
    for (const [name, value] of Object.entries(module)) {
      if (!/^class /.test(Function.prototype.toString.call(value instanceof Function ? value : Object))) continue;
      const [, body] = text.split(`export class ${name} `);
      const members = body.slice(0, body.indexOf("\n}"));
      for (const member of Object.getOwnPropertyNames(value.prototype ?? {})) {
        if (INTERNAL.includes(member)) continue;
        assert.match(members, new RegExp(`^  (?:get )?${member}\\(`, "m"), `${name}.${member} has no type`);
      }
    }
  }
});

test("the log's functions have types", () => {
  const [, body] = typed("index").split("export namespace log {");
  for (const name of Object.keys(sdk.log)) assert.match(body, new RegExp(`function ${name}\\(`), name);
});
