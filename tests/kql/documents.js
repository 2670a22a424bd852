// The KQL in the documents: queries, the tables and functions that they define, and transformations of data collection rules.

import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '../..');
const skipped = new Set(['.git', 'node_modules', 'target']);

function* pages(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !skipped.has(entry.name)) yield* pages(path);
    if (entry.isFile() && entry.name.endsWith('.md')) yield path;
  }
}

/** Returns every page of the project as `{ name, text }`. */
export function documents() {
  return [...pages(root)].map((path) => ({ name: relative(root, path), text: readFileSync(path, 'utf8') }));
}

/** Returns the fenced blocks of a page that are KQL. */
export function blocks({ text }) {
  return [...text.matchAll(/^ *```(?:kusto|kql)\n(.*?)^ *```$/gms)].map((found) => found[1]);
}

/** Returns the queries between backticks, which are recognised by the table at their beginning. In tables of Markdown `\|` is `|`. */
export function spans({ text }, tables) {
  const query = new RegExp(`\`((?:${tables.join('|')})(?:\\([^)]*\\))?\\s+\\\\?\\|[^\`]*)\``, 'g');
  return [...text.matchAll(query)].map((found) => found[1].replaceAll('\\|', '|').replaceAll(/,\s*…/g, ''));
}

/** Returns the tables that a page makes with `az monitor log-analytics workspace table create`, as `{ name: schema }`. */
export function madeTables({ text }) {
  const joined = text.replaceAll(/\\\n\s*/g, ' ');
  const made = joined.matchAll(/table create .*?--name (\w+) .*?--columns ((?:\w+=\w+ *)+)/g);
  return Object.fromEntries([...made].map(([, name, columns]) => [name, schema(columns.trim().split(/\s+/).map((c) => c.split('=')))]));
}

/** Returns the functions that a page has saved, as `let` statements: their first line is `// NAME: … Parameter: p, type, default d`. */
export function savedFunctions(page) {
  const head = /^\/\/ (\w+): .*Parameter: (\w+), (\w+), default (\w+)$/m;
  return blocks(page).filter((text) => head.test(text)).map((text) => {
    const [line, name, parameter, type, byDefault] = head.exec(text);
    return `let ${name} = (${parameter}: ${type} = ${byDefault}) {${text.replace(line, '')}};\n`;
  });
}

/** Returns the transformations of a page's data collection rule as `{ query, source, target }`: from a stream's columns to a table. */
export function transformations({ text }) {
  const rules = [...text.matchAll(/^ *```json\n(.*?)^ *```$/gms)].map((found) => found[1]).filter((json) => json.includes('transformKql'));
  return rules.map((json) => JSON.parse(json).properties).flatMap(({ streamDeclarations, dataFlows }) => dataFlows.map((flow) => ({
    query: flow.transformKql,
    source: schema(streamDeclarations[flow.streams[0]].columns.map(({ name, type }) => [name, type])),
    target: flow.outputStream.replace('Custom-', ''),
  })));
}

// The management API's `boolean` is KQL's `bool`.
function schema(columns) {
  return columns.map(([name, type]) => `['${name}']: ${type === 'boolean' ? 'bool' : type}`).join(', ');
}
