/** Runs one case in this process and prints its result as a line of JSON. */
import { aggregation, type CaseContext, fetchOnly, kafkajs, restore } from './cases.ts';
import { changelogTopology } from './changelog.ts';
import { produceOnly } from './embedded.ts';
import { sink } from './sink.ts';

const [name, context] = [
  process.argv[2]!,
  JSON.parse(process.argv[3]!) as CaseContext & {
    applicationId?: string;
    databaseUrl?: string;
  },
];

const cases = {
  fetch: fetchOnly,
  produce: produceOnly,
  kafkajs,
  'by-key': aggregation('by-key', true),
  'by-value': aggregation('by-value', true),
  'by-key-every-update': aggregation('by-key', false),
  'by-value-every-update': aggregation('by-value', false),
  restore: restore(context.applicationId ?? '', changelogTopology),
  sink: sink(context.databaseUrl ?? ''),
  // What a record costs as live keys grow beyond the cache's budget: the same work over loads of more keys.
  'live-keys': aggregation('by-key', true),
};

const result = await cases[name as keyof typeof cases](context);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
