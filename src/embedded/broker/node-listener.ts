/** What clients see of one node: its port and the connections to it. */
import { createServer, type Server } from 'node:net';
import { isAddressInUse, portInUse } from '../errors.ts';
import { Connection } from './connection.ts';
import type { EmbeddedBroker } from './embedded-broker.ts';

export class NodeListener {
  readonly nodeId: number;
  readonly #broker: EmbeddedBroker;
  #port: number;
  #server: Server | undefined;
  readonly #connections = new Set<Connection>();

  /** @param port 0: any that is free, and that one again at the next start */
  constructor(broker: EmbeddedBroker, nodeId: number, port: number) {
    this.#broker = broker;
    this.nodeId = nodeId;
    this.#port = port;
  }

  get port(): number {
    return this.#port;
  }

  /** @param portSetting for the message of a port in use: which setting moves the broker */
  async listen(host: string, portSetting: string): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((socket) => {
      const connection = new Connection(this.#broker, socket, this.nodeId);
      this.#connections.add(connection);
      connection.onClose(() => this.#connections.delete(connection));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(isAddressInUse(error) ? portInUse('Kafka broker', host, this.#port, portSetting, error) : error),
      );
      server.listen(this.#port, host, resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
  }

  /** Closes every connection, as a network that fails does. */
  cut(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((done) => (server === undefined ? done() : server.close(() => done())));
    this.cut();
    await closed;
  }
}
