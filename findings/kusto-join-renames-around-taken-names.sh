#!/usr/bin/env bash
#
# A Kusto join gives a right-hand column a number other than 1 when the name with 1 is taken, on either side.
#
# The documentation of `join` shows `Key` and `Key1`, so readers expect "the right-hand name with 1 behind it". Microsoft's own language
# service (npm @kusto/language-service-next 12.4.1) counts on: where the right-hand table has both TenantId and TenantId1, its TenantId
# comes out as TenantId2, and its TenantId1 keeps its name. A program that appends 1 makes two columns of one name, and loses one of them
# in every format with unique names.
#
# Installs the package in a temporary folder; needs node and npm. Exit status 0: as described; 1: it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-fund --no-audit @kusto/language-service-next@12.4.1
cat >columns.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import vm from 'node:vm';

const folder = dirname(createRequire(import.meta.url).resolve('@kusto/language-service-next'));
for (const file of ['bridge.js', 'Kusto.Language.Bridge.js']) {
  vm.runInThisContext(readFileSync(join(folder, file), 'utf8'), { filename: file });
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

function columns(left, right) {
  const table = (name, schema) => new Symbols.TableSymbol.$ctor7(name, `(${schema})`, null);
  const database = new Symbols.DatabaseSymbol.ctor('d', [table('Left', left), table('Right', right)]);
  const code = KustoCode.ParseAndAnalyze('Left | join kind=inner Right on Key', GlobalState.Default.WithDatabase(database));
  const found = code.ResultType.Columns;
  return Array.from({ length: found.Count }, (_, at) => found.getItem(at).Name).join(' ');
}

console.log(columns('Key: string, TenantId: string', 'Key: string, TenantId: string'));
console.log(columns('Key: string, TenantId: string', 'Key: string, TenantId: string, TenantId1: string'));
console.log(columns('Key: string, TenantId: string, TenantId1: string', 'Key: string, TenantId: string'));
JS
expected='Key TenantId Key1 TenantId1
Key TenantId Key1 TenantId2 TenantId1
Key TenantId TenantId1 Key1 TenantId2'
found=$(node columns.mjs)
printf '%s\n' "$found"
if [[ $found != "$expected" ]]; then
  printf 'expected:\n%s\n' "$expected" >&2
  exit 1
fi
