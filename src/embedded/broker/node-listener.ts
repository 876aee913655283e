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
  #listening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
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
  listen(host: string, portSetting: string): Promise<void> {
    if (this.#server !== undefined) return Promise.resolve();
    this.#listening ??= this.#listen(host, portSetting).finally(() => {
      this.#listening = undefined;
    });
    return this.#listening;
  }

  /** Closes every connection, as a network that fails does. */
  cut(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  /** The port and the connections are closed at once; resolves when the port is free. */
  async close(): Promise<void> {
    if (this.#listening !== undefined) await this.#listening.catch(() => undefined);
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) this.#closing = new Promise((done) => server.close(() => done()));
    this.cut();
    await this.#closing;
  }

  async #listen(host: string, portSetting: string): Promise<void> {
    await this.#closing;
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
}
