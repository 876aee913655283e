/**
 * Writes each Avro schema of a folder as a TypeScript constant, so that the types of its values are inferred:
 * `npm run schemas`, or `node dist/ops/generate-schemas.js <folder with .avsc files> <folder to write to>`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import avsc from 'avsc';

/** The TypeScript of one schema. @throws Error where the text is no Avro schema */
export function schemaModule(file: string, text: string): string {
  const schema: unknown = JSON.parse(text);
  avsc.Type.forSchema(schema as avsc.Schema);
  const name = basename(file, '.avsc').replace(/[-_]+(\w)/g, (_match, letter: string) => letter.toUpperCase());
  return `// Generated from schemas/${basename(file)} by \`npm run schemas\`; edit that file instead.\nexport const ${name}Schema = ${JSON.stringify(schema, null, 2)} as const;\n`;
}

export function generateSchemas(from: string, to: string): string[] {
  mkdirSync(to, { recursive: true });
  return readdirSync(from)
    .filter((file) => file.endsWith('.avsc'))
    .map((file) => {
      const target = join(to, `${basename(file, '.avsc')}.ts`);
      writeFileSync(target, schemaModule(file, readFileSync(join(from, file), 'utf8')));
      return target;
    });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [from = 'schemas', to = 'src/schemas'] = process.argv.slice(2);
  for (const file of generateSchemas(from, to)) process.stdout.write(`${file}\n`);
}
