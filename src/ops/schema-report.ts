/** What a plan says to people. */
import type { Level, PlannedSubject } from './schema-plan.ts';

/** A line for each subject, and below it what breaks. */
export function reportLines(plan: readonly PlannedSubject[], level: Level): string[] {
  return plan.flatMap((planned) =>
    [`${planned.subject} (${planned.file}): ${summary(planned)}`, ...details(planned)].concat(advice(planned, level)),
  );
}

function summary({ state, registered, latestVersion, toRegister }: PlannedSubject): string {
  switch (state) {
    case 'new':
      return toRegister.length > 1 ? `new, ${toRegister.length} versions` : 'new';
    case 'unchanged': {
      const { version, id } = registered!;
      return `unchanged, version ${version}${version === latestVersion ? '' : ` of ${latestVersion}`}, id ${id}`;
    }
    case 'changed':
      return `changed since version ${registered!.version}`;
    default:
      return registered === undefined
        ? 'WOULD BREAK between its own versions'
        : `WOULD BREAK: not compatible with version ${registered.version}`;
  }
}

function details({ state, harmless, newCannotReadOld, oldCannotReadNew, registrySays }: PlannedSubject): string[] {
  const changes = harmless.length + newCannotReadOld.length + oldCannotReadNew.length;
  return [
    ...(state === 'changed' && changes === 0 ? ['  in nothing that records show'] : []),
    ...harmless.map((what) => `  ${what}`),
    ...list('consumers with the new schema cannot read old records', newCannotReadOld),
    ...list('consumers with the old schema cannot read new records', oldCannotReadNew),
    ...list('the registry would refuse it', registrySays),
  ];
}

function list(head: string, reasons: readonly string[]): string[] {
  return reasons.length === 0 ? [] : [`  ${head}:`, ...reasons.map((reason) => `    ${reason}`)];
}

function advice({ state, newCannotReadOld, oldCannotReadNew, registrySays }: PlannedSubject, level: Level): string[] {
  const isForwardOnly = newCannotReadOld.length === 0 && oldCannotReadNew.length > 0 && registrySays.length === 0;
  if (state !== 'breaks' || level !== 'FULL' || !isForwardOnly) return [];
  return ['  Where every consumer gets the new schema before a producer does: --compatibility BACKWARD.'];
}
