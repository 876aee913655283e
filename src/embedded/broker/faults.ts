/** Faults that tests put in the way of requests. */

export type FaultAction =
  /** Answers late. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Does nothing and answers nothing, ever. */
  | { readonly kind: 'drop' }
  /** Does nothing and answers with this error of the protocol. */
  | { readonly kind: 'error'; readonly code: number }
  /** Does what is asked, and closes the connection instead of answering. */
  | { readonly kind: 'lose-response' }
  /** Closes the connection before anything is done. */
  | { readonly kind: 'disconnect' }
  /** Answers, and asks the client to hold back (KIP-219). */
  | { readonly kind: 'throttle'; readonly ms: number };

export interface Fault {
  /** The API's name in the protocol, e.g. `Produce`. */
  readonly api: string;
  /** How many requests it meets. Default 1; Infinity: all. */
  readonly times?: number;
  /** Lets this many requests pass first. Default 0. */
  readonly after?: number;
  /** Which requests: sees the decoded request. Default all. */
  readonly when?: (request: unknown, clientId: string | null) => boolean;
  readonly action: FaultAction;
}

interface ActiveFault {
  readonly fault: Fault;
  left: number;
  passing: number;
}

export class Faults {
  #active: ActiveFault[] = [];

  /** Returns how to take the fault away again. */
  add(fault: Fault): () => void {
    const active = { fault, left: fault.times ?? 1, passing: fault.after ?? 0 };
    this.#active.push(active);
    return () => {
      this.#active = this.#active.filter((other) => other !== active);
    };
  }

  clear(): void {
    this.#active = [];
  }

  /** The fault that meets this request, if any; counts it. */
  meet(api: string, request: unknown, clientId: string | null): FaultAction | undefined {
    for (const active of this.#active) {
      const { fault } = active;
      if (fault.api !== api || active.left <= 0 || fault.when?.(request, clientId) === false) continue;
      if (active.passing > 0) {
        active.passing--;
        continue;
      }
      active.left--;
      return fault.action;
    }
    return undefined;
  }
}
