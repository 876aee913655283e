/** What must hold: a named object that looks at the world while it runs, when it has come to rest, and after restarts. */
import type { Member } from '../world/member.ts';
import type { World } from '../world/world.ts';

export interface Check {
  readonly name: string;
  /** Before anything runs: listens to what it wants to see. */
  watch?(world: World): void;
  /** Everything is processed, nothing goes wrong any more. */
  atRest?(world: World): void | Promise<void>;
  /** The application was closed and started again, without input in between. */
  afterRestart?(world: World, members: readonly Member[], phase: string): void | Promise<void>;
}
