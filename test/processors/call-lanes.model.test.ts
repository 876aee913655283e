/** Lanes against a model: a call runs as soon as nothing of its lane before it is unfinished, and no sooner. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallLanes } from '../../src/processors/call-lanes.ts';

interface Call {
  readonly id: number;
  readonly lane: string | undefined;
}

test('lanes run side by side, each in its order', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        lane: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
      }),
      fc.record({ kind: fc.constant('take' as const) }),
      fc.record({ kind: fc.constantFrom('done' as const, 'again' as const), which: fc.nat(9) }),
    ),
    { maxLength: 100 },
  );
  fc.assert(
    fc.property(steps, (commands) => {
      const lanes = new CallLanes<Call>(({ lane }) => lane);
      const added: Call[] = [];
      const taken: Call[] = [];
      const finished = new Set<Call>();
      const mayRun = (): Call[] =>
        added.filter(
          (call, i) =>
            !finished.has(call) &&
            !taken.includes(call) &&
            (call.lane === undefined ||
              added.slice(0, i).every((before) => before.lane !== call.lane || finished.has(before))),
        );
      for (const command of commands) {
        if (command.kind === 'add') {
          const call = { id: added.length, lane: command.lane };
          added.push(call);
          lanes.add(call);
        } else if (command.kind === 'take') {
          const possible = mayRun();
          const call = lanes.take();
          if (possible.length === 0) expect(call).toBeUndefined();
          else {
            expect(possible).toContain(call);
            taken.push(call!);
          }
        } else if (taken.length > 0) {
          const [call] = taken.splice(command.which % taken.length, 1);
          if (command.kind === 'again') lanes.again(call!);
          else {
            finished.add(call!);
            lanes.done(call!);
          }
        }
      }
      // What is left runs to the end: nothing is forgotten.
      for (let call = taken.pop() ?? lanes.take(); call !== undefined; call = taken.pop() ?? lanes.take()) {
        finished.add(call);
        lanes.done(call);
      }
      expect(finished.size).toBe(added.length);
    }),
    { numRuns: 500 },
  );
});
