/** A connection that cannot be opened leaves nothing behind that goes on trying. */
import { expect, inject, test } from 'vitest';
import { Connection } from '../../src/producers/connection.ts';
import { resolveOptions } from '../../src/producers/options.ts';

test('one schema is refused while another is waited for: the wait ends', async () => {
  const connection = new Connection(
    resolveOptions({ kafka: { brokers: inject('brokers') }, registry: { url: 'http://localhost:1' } }),
  );
  const refused = new Error('refused');
  let waits: AbortSignal | undefined;
  const opening = connection.open([
    {
      topic: 'a',
      prepare: (signal) => {
        waits = signal;
        return new Promise(() => {});
      },
    },
    { topic: 'b', prepare: () => Promise.reject(refused) },
  ]);
  await expect(opening).rejects.toBe(refused);
  expect([waits!.aborted, connection.isOpen]).toEqual([true, false]);
});
