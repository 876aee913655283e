/** The embedded schema registry as a simulated process, which keeps its schemas in a topic of the cluster. */
import { type EmbeddedRegistry, startRegistry } from '../../../src/embedded/index.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Network } from '../network/network.ts';

const MACHINE = 'registry';
const PORT = 8081;
const RESTART_MS = 1_000;

export class Registry {
  readonly url = `http://${MACHINE}:${PORT}`;
  /** Whether it is kept running. */
  wanted = false;
  readonly #kernel: Kernel;
  readonly #network: Network;
  readonly #brokers: readonly string[];
  #owner: Owner | undefined;
  #starts = 0;

  constructor(kernel: Kernel, network: Network, brokers: readonly string[]) {
    this.#kernel = kernel;
    this.#network = network;
    this.#brokers = brokers;
  }

  /** Starts it, and again whenever it could not start. */
  start(): void {
    this.wanted = true;
    if (this.#owner === undefined) void this.#run();
  }

  kill(): void {
    this.wanted = false;
    if (this.#owner !== undefined) this.#kernel.kill(this.#owner);
  }

  async #run(): Promise<void> {
    const kernel = this.#kernel;
    const owner = kernel.createOwner(`registry.${++this.#starts}`, MACHINE);
    this.#owner = owner;
    owner.onKill.push(() => {
      this.#network.closeAll(owner);
      this.#owner = undefined;
      kernel.schedule(RESTART_MS * 1000, kernel.harness, 'call', () => {
        if (this.wanted) this.start();
      });
    });
    const options = { kafka: { brokers: [...this.#brokers] }, host: MACHINE, port: PORT };
    await kernel.call<EmbeddedRegistry>(owner, () => startRegistry(options)).catch(() => kernel.kill(owner));
  }
}
