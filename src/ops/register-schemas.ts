/**
 * `node dist/ops/register-schemas.js [folder]`: registers what is new of a folder's schemas under `<topic>-value`, unless
 * something would break; then nothing of it. Configured by flags and by environment, as the programs are.
 */
import { pathToFileURL } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { MillraceError, RegistryError, SchemaRegistry } from '../index.ts';
import { ConfigurationError, type Environment, registryOptions } from '../settings/environment.ts';
import { OWN_SCHEMAS, readSchemaFolder } from './schema-folder.ts';
import { LEVELS, type Level, type PlannedSubject, planSubject } from './schema-plan.ts';
import { reportLines } from './schema-report.ts';

/** Where text goes; a stream is one. */
export interface TextOutput {
  write(text: string): unknown;
}

/** Registered, or nothing to register. */
export const DONE = 0;
/** Something would break, and nothing was registered. */
export const INCOMPATIBLE = 1;
/** The registry is away or refused, or the command was called wrongly. */
export const FAILED = 2;

interface Options {
  readonly url?: string;
  readonly username?: string;
  readonly ca?: string;
  readonly compatibility: Level;
  readonly allVersions: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
  readonly timeout: number;
}

/** A version that was registered now. */
interface Registration {
  readonly subject: string;
  readonly file: string;
  readonly id: number;
}

/** @param args behind the program's name @returns the exit status */
export async function registerSchemas(
  args: readonly string[],
  env: Environment,
  out: TextOutput,
  error: TextOutput,
): Promise<number> {
  const program = command(out, error);
  try {
    program.parse(args, { from: 'user' });
    const [folder = OWN_SCHEMAS] = program.processedArgs as [string | undefined];
    return await run(folder, program.opts<Options>(), env, out);
  } catch (thrown) {
    // What is wrong with the arguments was said.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? DONE : FAILED;
    if (!(thrown instanceof ConfigurationError || thrown instanceof MillraceError)) throw thrown;
    const status = thrown instanceof RegistryError ? thrown.status : undefined;
    const isAway = status === 0 || status === 401 || status === 403;
    error.write(`${thrown.message}${isAway ? ' Check SCHEMA_REGISTRY_URL and its user name and password.' : ''}\n`);
    // Registered by somebody else meanwhile.
    return status === 409 ? INCOMPATIBLE : FAILED;
  }
}

function command(out: TextOutput, error: TextOutput): Command {
  const level = new Option('--compatibility <level>', 'what must hold, besides what the registry demands')
    .choices(LEVELS)
    .default('FULL')
    .argParser((value) => {
      const given = value.toUpperCase() as Level;
      if (!LEVELS.includes(given)) throw new InvalidArgumentError(`It is one of ${LEVELS.join(', ')}.`);
      return given;
    });
  return new Command('register-schemas')
    .description(
      'Registers what is new of a folder’s schemas under <topic>-value. Where one would break consumers or is refused, it says whom and why, and nothing is registered.',
    )
    .argument('[folder]', 'with .avsc files and topics.json (default: the package’s own)')
    .option('--url <address>', 'of the schema registry; else SCHEMA_REGISTRY_URL, else http://localhost:8081')
    .option('--username <name>', 'else SCHEMA_REGISTRY_USERNAME; the password is SCHEMA_REGISTRY_PASSWORD')
    .option('--ca <file>', 'certificate authority of an https address; else SCHEMA_REGISTRY_SSL_CA')
    .addOption(level)
    .option('--all-versions', 'register older versions first where a subject has nothing', false)
    .option('--dry-run', 'show what would be done, and register nothing', false)
    .option('--json', 'write one JSON object instead of lines', false)
    .option('--timeout <ms>', 'to wait for an answer', milliseconds, 7_000)
    .addHelpText(
      'after',
      '\nExit status: 0 done or nothing to do, 1 something would break, 2 the registry is away or refused.',
    )
    .exitOverride()
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => error.write(text) });
}

function milliseconds(value: string): number {
  const given = Number(value);
  if (!Number.isSafeInteger(given) || given < 1 || given >= 2 ** 31)
    throw new InvalidArgumentError('It must be a whole number of milliseconds.');
  return given;
}

async function run(folder: string, options: Options, env: Environment, out: TextOutput): Promise<number> {
  const { compatibility: level, allVersions, dryRun, timeout } = options;
  const schemas = readSchemaFolder(folder);
  const registry = new SchemaRegistry({ ...registryOptions(withFlags(env, options)), timeoutMs: timeout });
  const signal = (): AbortSignal => AbortSignal.timeout(timeout);
  const plan: PlannedSubject[] = [];
  for (const schema of schemas) plan.push(await planSubject(registry, schema, { level, allVersions, signal }));
  const breaking = plan.filter(({ state }) => state === 'breaks');
  const registrations: Registration[] = [];
  const report = options.json
    ? () => out.write(`${JSON.stringify({ dryRun, subjects: plan.map(plain), registered: registrations }, null, 2)}\n`)
    : () => out.write(`${lastLine(plan, registrations, dryRun)}\n`);
  if (!options.json) out.write(`${reportLines(plan, level).join('\n')}\n`);
  try {
    if (breaking.length === 0 && !dryRun) await register(registry, plan, registrations, signal);
  } finally {
    // What was registered is said, also where the rest failed.
    report();
  }
  return breaking.length === 0 ? DONE : INCOMPATIBLE;
}

/** @param done grows as it goes on */
async function register(
  registry: SchemaRegistry,
  plan: readonly PlannedSubject[],
  done: Registration[],
  signal: () => AbortSignal,
): Promise<void> {
  for (const { subject, toRegister } of plan)
    for (const { file, text } of toRegister)
      done.push({ subject, file, id: await registry.idOf(subject, text, signal()) });
}

function withFlags(env: Environment, { url, username, ca }: Options): Environment {
  return {
    ...env,
    ...(url === undefined ? {} : { SCHEMA_REGISTRY_URL: url }),
    ...(username === undefined ? {} : { SCHEMA_REGISTRY_USERNAME: username }),
    ...(ca === undefined ? {} : { SCHEMA_REGISTRY_SSL_CA: ca }),
  };
}

/** For machines. */
function plain({ registered, toRegister, ...planned }: PlannedSubject): object {
  return {
    ...planned,
    registered: registered === undefined ? null : { version: registered.version, id: registered.id },
    toRegister: toRegister.map(({ file }) => file),
  };
}

function lastLine(plan: readonly PlannedSubject[], registrations: readonly Registration[], dryRun: boolean): string {
  const breaking = plan.filter(({ state }) => state === 'breaks').length;
  const waiting = plan.reduce((sum, { toRegister }) => sum + toRegister.length, 0);
  if (breaking > 0) return `Nothing was registered: ${breaking} of ${plan.length} subjects would break.`;
  if (waiting === 0) return 'Nothing to do.';
  if (dryRun) return `Nothing was registered: a dry run. To register: ${waiting}.`;
  const ids = registrations.map(({ subject, id }) => `${subject} id ${id}`).join(', ');
  return `Registered ${registrations.length} of ${waiting}${ids === '' ? '' : `: ${ids}`}.`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = await registerSchemas(process.argv.slice(2), process.env, process.stdout, process.stderr);
