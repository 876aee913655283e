/** Faults that tests put in the way of requests. */

export type FaultAction =
  /** Answers late. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Does what is asked late; what else comes over the connection waits behind it. */
  | { readonly kind: 'delay-request'; readonly ms: number }
  /** Does nothing and answers with this error of the protocol. */
  | { readonly kind: 'error'; readonly code: number }
  /** Does what is asked, and closes the connection instead of answering. */
  | { readonly kind: 'lose-response' }
  /** Closes the connection before anything is done. */
  | { readonly kind: 'disconnect' }
  /**
   * From this request on the connection swallows everything, both ways, and stays open: what a firewall or a moved pod
   * leaves. `handled`: the request still gets through, its answer does not. Default false.
   */
  | { readonly kind: 'half-open'; readonly handled?: boolean }
  /** Answers, and asks the client to hold back (KIP-219). */
  | { readonly kind: 'throttle'; readonly ms: number }
  /** Runs this before the request is handled, or after it and before the answer goes out. Default before. */
  | { readonly kind: 'run'; readonly run: () => void | Promise<void>; readonly when?: 'before' | 'after' };

/** Who asks, and where. */
export interface RequestSource {
  readonly clientId: string | null;
  /** The version of the API. */
  readonly version: number;
  /** The id of the node that the request came in at. */
  readonly node: number;
}

export interface Fault {
  /** The API's name in the protocol, e.g. `Produce`. */
  readonly api: string;
  /** Only requests at this node. Default all. */
  readonly node?: number;
  /** How many requests it meets. Default 1; Infinity: all. */
  readonly times?: number;
  /** Lets this many requests pass first. Default 0. */
  readonly after?: number;
  /** Which requests: sees the decoded request. Default all. */
  readonly when?: (request: unknown, clientId: string | null, source: RequestSource) => boolean;
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
  meet(api: string, request: unknown, source: RequestSource): FaultAction | undefined {
    for (const active of this.#active) {
      const { fault } = active;
      if (fault.api !== api || active.left <= 0 || (fault.node ?? source.node) !== source.node) continue;
      if (fault.when?.(request, source.clientId, source) === false) continue;
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
