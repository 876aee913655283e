/** Runs a piece of code in virtual time, for the tests of the simulation's own parts. */
import { installGlobals } from '../kernel/globals.ts';
import { Kernel } from '../kernel/kernel.ts';
import { Network } from '../network/network.ts';

export async function inVirtualTime<T>(run: (kernel: Kernel, network: Network) => Promise<T>, seed = '1'): Promise<T> {
  const kernel = new Kernel(seed);
  const network = new Network(kernel);
  const uninstall = installGlobals(kernel, network.replacements());
  try {
    return await kernel.run(() => run(kernel, network));
  } finally {
    uninstall();
  }
}
