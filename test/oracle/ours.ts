/** Our side of a trial: a topology on TopologyTestDriver, its results in the form of the oracle's. */
import { ByteWriter, type Topology } from '../../src/index.ts';
import type { AnyStoreDescription } from '../../src/state/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';
import type { Input, Verdict } from './oracle.ts';

const hex = (data: Buffer | null): string => (data === null ? '-' : data.toString('hex'));

export async function ours(topology: Topology, inputs: readonly Input[], cacheMaxBytes: number): Promise<Verdict> {
  const driver = await TopologyTestDriver.create(topology, { applicationId: 'app', cacheMaxBytes });
  for (const { topic, key, value, timestamp, header } of inputs) {
    const headers = header === null ? [] : [{ key: 'h', value: header }];
    await driver.pipe({ topic, key, value, timestamp, headers });
  }
  const byTopic: Record<string, string[]> = {};
  for (const { topic, key, value, timestamp, headers } of driver.produced) {
    const names = headers.map((h) => ` ${h.key}=${hex(h.value)}`).join('');
    (byTopic[topic] ??= []).push(`${hex(key)} ${hex(value)} ${timestamp}${names}`);
  }
  const stores: Record<string, string[]> = {};
  for (const store of topology.subTopologies.flatMap((sub) => sub.stores)) {
    const entries = await storeEntries(driver, store);
    if (entries.length > 0) stores[store.name] = entries.sort();
  }
  const { droppedRecordsTotal } = driver.metrics();
  await driver.close();
  return { describe: topology.describe(), records: byTopic, stores, dropped: droppedRecordsTotal };
}

async function storeEntries(
  driver: TopologyTestDriver,
  { name, type, value: serde, timestamped }: AnyStoreDescription,
) {
  const entries: string[] = [];
  const line = (k: string, start: number, stored: unknown, time: number): void => {
    const out = new ByteWriter();
    serde.write(stored, out, name, 'value');
    entries.push(`${hex(Buffer.from(k))} ${start} ${hex(out.copy())} ${timestamped ? time : -1}`);
  };
  if (type === 'key-value') {
    const store = driver.keyValueStore<string, unknown>(name);
    for await (const [k, stored] of store.all()) line(k, 0, stored, store.getWithTimestamp(k)!.timestamp);
  } else {
    const store = driver.windowStore<string, unknown>(name);
    for await (const [{ key: k, windowStartMs }, stored] of store.all())
      line(k, windowStartMs, stored, store.getWithTimestamp(k, windowStartMs)!.timestamp);
  }
  return entries;
}

/**
 * A cached window store in Java lists windows whose retention has ended until the cache lets them go; ours, as both do
 * without a cache, hide them.
 */
export function withoutExpired(verdict: Verdict, topology: Topology): Verdict {
  const stores = { ...verdict.stores };
  for (const store of topology.subTopologies.flatMap((sub) => sub.stores)) {
    const entries = stores[store.name];
    if (store.type !== 'window' || entries === undefined) continue;
    const changelog = verdict.records[`app-${store.name}-changelog`] ?? [];
    // A changelog key ends with the window's start and a sequence number.
    const starts = changelog.map((line) => Number.parseInt(line.split(' ')[0]!.slice(-24, -8), 16));
    const live = entries.filter((entry) => Number(entry.split(' ')[1]) > Math.max(...starts) - store.retentionMs);
    if (live.length > 0) stores[store.name] = live;
    else delete stores[store.name];
  }
  return { ...verdict, stores };
}

/** What Java prints of a topic extractor is an object's identity. */
export function describable(text: string): string {
  return text.replace(/\(extractor class: .*\)/g, '(extractor class: …)');
}
