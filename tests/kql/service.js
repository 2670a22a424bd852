// Microsoft's KQL language service, the checker of the query editors, over tables and functions that a test names.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import vm from 'node:vm';

// The package is a pair of scripts for a page: they must share one global scope, which `require` does not give them.
const folder = dirname(createRequire(import.meta.url).resolve('@kusto/language-service-next'));
for (const file of ['bridge.js', 'Kusto.Language.Bridge.js']) {
  vm.runInThisContext(readFileSync(join(folder, file), 'utf8'), { filename: file });
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

/** Returns a function that lists the errors of a query; `tables` has a schema `a: type, b: type` for each name. */
export function checker(tables) {
  const symbols = Object.entries(tables).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, `(${schema})`, null));
  const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('workspace', symbols));
  return (query) => {
    const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
    return Array.from({ length: found.Count }, (_, at) => {
      const { Code, Message, Start, Length } = found.getItem(at);
      return { code: Code, message: Message, at: query.slice(Start, Start + Length) };
    });
  };
}
