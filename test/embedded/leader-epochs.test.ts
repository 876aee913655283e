/** The history of leader epochs: the answers of Apache Kafka 3.6.2 to the same moves, and a model for any. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LeaderEpochs } from '../../src/embedded/broker/log/leader-epochs.ts';

const ends = (epochs: LeaderEpochs, logEnd: number, ...asked: readonly number[]) =>
  asked.map((epoch) => Object.values(epochs.endOf(epoch, logEnd)).join('@'));

test('epochs without records, unknown ones, and records deleted from the start', () => {
  const epochs = new LeaderEpochs();
  epochs.assign(0, 0);
  expect(ends(epochs, 0, -1, 0, 1)).toEqual(['-1@-1', '0@0', '-1@-1']);
  epochs.assign(1, 10);
  expect(ends(epochs, 10, 0, 1, 2)).toEqual(['0@10', '1@10', '-1@-1']);
  // The leaders of epoch 2 and 3 take over at the same offset: 2 has left nothing.
  epochs.assign(2, 12);
  epochs.assign(3, 12);
  expect(ends(epochs, 13, 0, 1, 2, 3, 4)).toEqual(['0@10', '1@12', '1@12', '3@13', '-1@-1']);
  epochs.startsAt(5);
  expect(epochs.earliest).toEqual({ epoch: 0, startOffset: 5 });
  expect(ends(epochs, 13, 0, 1, 2)).toEqual(['0@10', '1@12', '1@12']);
  epochs.startsAt(13);
  expect(ends(epochs, 13, 0, 1, 2, 3, 4)).toEqual(['0@13', '1@13', '2@13', '3@13', '-1@-1']);
});

test('what is cut off at the end is forgotten', () => {
  const epochs = new LeaderEpochs();
  epochs.assign(0, 0);
  epochs.assign(1, 10);
  epochs.assign(2, 20);
  epochs.endsAt(15);
  expect(ends(epochs, 15, 0, 1, 2)).toEqual(['0@10', '1@15', '-1@-1']);
  epochs.assign(3, 15);
  expect(ends(epochs, 18, 1, 2, 3)).toEqual(['1@15', '1@15', '3@18']);
});

test('an epoch ends where the last record of it, or of one before, is: a model that keeps each record’s epoch', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('lead' as const), by: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant('cut' as const), count: fc.integer({ min: 1, max: 6 }) }),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(steps, (moves) => {
      const epochs = new LeaderEpochs();
      const log: number[] = [];
      let current = 0;
      epochs.assign(0, 0);
      for (const move of moves) {
        if (move.kind === 'append') for (let i = 0; i < move.count; i++) log.push(current);
        else if (move.kind === 'lead') epochs.assign((current += move.by), log.length);
        else {
          log.length = Math.max(0, log.length - move.count);
          epochs.endsAt(log.length);
          // A log is cut by an election.
          epochs.assign(++current, log.length);
        }
      }
      expect(epochs.endOf(current, log.length)).toEqual({ epoch: current, endOffset: log.length });
      expect(epochs.endOf(current + 1, log.length).endOffset).toBe(-1);
      for (let epoch = 0; epoch < current; epoch++)
        expect(epochs.endOf(epoch, log.length).endOffset).toBe(log.findLastIndex((one) => one <= epoch) + 1);
    }),
  );
});
