/** The simulated network: what TCP promises, and what becomes of it when cables, firewalls and machines fail. */
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Kernel } from './kernel/kernel.ts';
import type { Owner } from './kernel/owner.ts';
import type { Network } from './network/network.ts';
import { inVirtualTime } from './support/in-virtual-time.ts';

/** A client and a server that echoes, each a process; and what happened to the client's socket. */
interface Scene {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly client: Owner;
  readonly server: Owner;
  readonly socket: Socket;
  readonly seen: string[];
}

function scene<T>(run: (scene: Scene) => Promise<T>): Promise<T> {
  return inVirtualTime(async (kernel, network) => {
    const [client, server] = [kernel.createOwner('c.1', 'c'), kernel.createOwner('s.1', 's')];
    for (const owner of [client, server]) owner.onKill.push(() => network.closeAll(owner));
    await kernel.call(server, () => {
      createServer((socket) => {
        socket.on('data', (data) => socket.write(data));
        socket.on('error', () => {});
      }).listen(1, 's');
    });
    const seen: string[] = [];
    const socket = await kernel.call(client, () => dial(seen));
    await sleep(10);
    return run({ kernel, network, client, server, socket, seen });
  });
}

function dial(seen: string[], options: object = {}): Socket {
  const socket = connect({ host: 's', port: 1, ...options }, () => seen.push('connect'));
  socket.on('data', (data) => seen.push(String(data)));
  socket.on('end', () => seen.push('end'));
  socket.on('error', (error: NodeJS.ErrnoException) => seen.push(error.code!));
  socket.on('close', () => seen.push('close'));
  return socket;
}

test('bytes come back in order, a corked write at once; an end closes both sides', async () => {
  const seen = await scene(async ({ kernel, client, socket, seen }) => {
    await kernel.call(client, () => {
      socket.cork();
      socket.write('a');
      socket.write('b');
      socket.uncork();
      socket.write('c');
      socket.end('d');
    });
    await sleep(100);
    return seen;
  });
  expect(seen[0]).toBe('connect');
  expect(seen.slice(1, -2).join('')).toBe('abcd');
  expect(seen.slice(-2)).toEqual(['end', 'close']);
});

test('onread gives the bytes to the caller’s own buffers', async () => {
  const parts = await inVirtualTime(async (kernel) => {
    await kernel.call(kernel.createOwner('s.1', 's'), () => {
      createServer((socket) => void socket.write('hello')).listen(1, 's');
    });
    const target = Buffer.alloc(2);
    const out: string[] = [];
    const onread = { buffer: () => target, callback: (n: number) => out.push(target.toString('utf8', 0, n)) > 0 };
    connect({ host: 's', port: 1, onread } as never);
    await sleep(100);
    return out;
  });
  expect(parts).toEqual(['he', 'll', 'o']);
});

test('nobody listens: refused; nobody answers: a time-out after 127 s', async () => {
  const seen = await inVirtualTime(async (kernel, network) => {
    const refused: string[] = [];
    dial(refused);
    await sleep(1_000);
    const lost: string[] = [];
    network.block('harness', 's', true);
    dial(lost);
    await sleep(126_000);
    const before = lost.length;
    await sleep(2_000);
    return { refused, before, lost, left: network.openOf(kernel.owner).sockets.length };
  });
  expect(seen).toEqual({ refused: ['ECONNREFUSED', 'close'], before: 0, lost: ['ETIMEDOUT', 'close'], left: 0 });
});

test('a partition that ends: what was sent meanwhile arrives with the next retransmission', async () => {
  const seen = await scene(async ({ kernel, network, client, socket, seen }) => {
    network.block('c', 's', true);
    await kernel.call(client, () => socket.write('late'));
    await sleep(10_000);
    network.block('c', 's', false);
    const before = [...seen];
    await sleep(11_000);
    return { before, seen };
  });
  expect(seen).toEqual({ before: ['connect'], seen: ['connect', 'late'] });
});

test('a one-way partition: requests arrive, answers do not, and the server gives up after 924 s', async () => {
  const seen = await scene(async ({ kernel, network, client, socket, seen }) => {
    network.block('s', 'c', true, 'one-way');
    await kernel.call(client, () => socket.write('x'));
    await sleep(900_000);
    const before = network.connections.size;
    await sleep(30_000);
    return { before, seen: [...seen] };
  });
  expect(seen.seen).toEqual(['connect', 'ETIMEDOUT', 'close']);
});

test('a connection that a firewall forgot: keep-alive finds out, a write into it only after 924 s', async () => {
  const seen = await scene(async ({ kernel, network, client, socket, seen }) => {
    const other: string[] = [];
    const idle = await kernel.call(client, () => dial(other));
    idle.setKeepAlive(true, 60_000);
    socket.setKeepAlive(true, 60_000);
    await sleep(100);
    for (const connection of network.connections) connection.sever();
    await kernel.call(client, () => socket.write('x'));
    await sleep(80_000);
    const after80s = { idle: [...other], busy: [...seen] };
    await sleep(850_000);
    return { after80s, busy: seen };
  });
  expect(seen.after80s).toEqual({ idle: ['connect', 'ETIMEDOUT', 'close'], busy: ['connect'] });
  expect(seen.busy).toEqual(['connect', 'ETIMEDOUT', 'close']);
});

test('a connection that is cut before its server heard of it disturbs nobody', async () => {
  const seen = await scene(async ({ kernel, network, client, seen }) => {
    void kernel.call(client, () => dial(seen));
    while (network.connections.size < 2) await kernel.sleep(0.01);
    for (const connection of network.connections) connection.cut('both');
    await sleep(100);
    return seen;
  });
  expect(seen).toContain('ECONNRESET');
});

test('a cut with reset ends both sides at once', async () => {
  const seen = await scene(async ({ network, seen }) => {
    for (const connection of network.connections) connection.cut('both');
    await sleep(10);
    return { seen, left: network.connections.size };
  });
  expect(seen).toEqual({ seen: ['connect', 'ECONNRESET', 'close'], left: 0 });
});

test('cut on one side: the other learns of it by its next write', async () => {
  const seen = await scene(async ({ kernel, network, client, socket, seen }) => {
    for (const connection of network.connections) connection.cut('server');
    await sleep(10_000);
    const before = [...seen];
    await kernel.call(client, () => socket.write('x'));
    await sleep(100);
    return { before, seen };
  });
  expect(seen).toEqual({ before: ['connect'], seen: ['connect', 'ECONNRESET', 'close'] });
});

test('a killed process: what its system has taken still arrives, then the connection ends', async () => {
  const seen = await scene(async ({ kernel, client, server, socket, seen }) => {
    await kernel.call(client, () => socket.write('x'));
    await sleep(10);
    kernel.kill(server);
    await sleep(10);
    await kernel.call(client, () => dial(seen));
    await sleep(10);
    return seen;
  });
  expect(seen).toEqual(['connect', 'x', 'end', 'close', 'ECONNREFUSED', 'close']);
});

test('a fuse kills between two writes of one event', async () => {
  const seen = await scene(async ({ kernel, client, server, socket }) => {
    const got: string[] = [];
    await kernel.call(server, () => {
      createServer((other) => other.on('data', (data) => got.push(String(data)))).listen(2, 's');
    });
    const second = await kernel.call(client, () => connect({ host: 's', port: 2 }));
    await sleep(10);
    client.fuse = 1;
    void kernel
      .call(client, () => {
        second.write('first');
        second.write('second');
        socket.write('third');
      })
      .catch(() => {});
    await sleep(100);
    return { got, alive: client.alive };
  });
  expect(seen).toEqual({ got: ['first'], alive: false });
});

test('a machine without power says nothing; back again, it resets what it does not know', async () => {
  const seen = await scene(async ({ kernel, network, client, server, socket, seen }) => {
    network.powerOff('s');
    kernel.kill(server);
    await kernel.call(client, () => socket.write('x'));
    await sleep(30_000);
    const before = [...seen];
    network.powerOn('s');
    await sleep(60_000);
    return { before, seen };
  });
  expect(seen).toEqual({ before: ['connect'], seen: ['connect', 'ECONNRESET', 'close'] });
});

test('a receiver that does not read holds the sender back; drain comes when it reads again', async () => {
  const seen = await scene(async ({ kernel, client }) => {
    let got = 0;
    const server = kernel.createOwner('s.2', 's');
    const accepted = await kernel.call(server, () => {
      const sockets: Socket[] = [];
      createServer((other) => {
        other.pause();
        other.on('data', (data) => (got += data.length));
        sockets.push(other);
      }).listen(3, 's');
      return sockets;
    });
    const socket = await kernel.call(client, () => connect({ host: 's', port: 3 }));
    await sleep(10);
    let drained = false;
    const waiting = await kernel.call(client, () => {
      socket.once('drain', () => (drained = true));
      for (let i = 0; i < 10; i++) socket.write(Buffer.alloc(100_000));
      return socket.writableLength;
    });
    await sleep(1_000);
    const before = { got, drained, waiting };
    await kernel.call(server, () => void accepted[0]!.resume());
    await sleep(1_000);
    return { before, got, drained };
  });
  expect(seen.before).toEqual({ got: 0, drained: false, waiting: 1_000_000 - 256 * 1024 });
  expect(seen).toMatchObject({ got: 1_000_000, drained: true });
});

test('destroy drops what the system has not taken and ends the rest; resetAndDestroy drops everything', async () => {
  const outcomes: Record<string, { got: number; how: string[] }> = {};
  for (const way of ['destroy', 'resetAndDestroy'] as const) {
    outcomes[way] = await scene(async ({ kernel, client }) => {
      let got = 0;
      const how: string[] = [];
      await kernel.call(kernel.createOwner('s.2', 's'), () => {
        createServer((other) => {
          other.on('data', (data) => (got += data.length));
          other.on('end', () => how.push('end'));
          other.on('error', (error: NodeJS.ErrnoException) => how.push(error.code!));
        }).listen(3, 's');
      });
      const socket = await kernel.call(client, () => connect({ host: 's', port: 3 }));
      await sleep(10);
      await kernel.call(client, () => {
        socket.write(Buffer.alloc(1_000_000));
        socket[way]();
      });
      await sleep(1_000);
      return { got, how };
    });
  }
  expect(outcomes['destroy']).toEqual({ got: 256 * 1024, how: ['end'] });
  expect(outcomes['resetAndDestroy']!.how).toEqual(['ECONNRESET']);
});

test('two connections may overtake each other, one keeps its order', async () => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 10; seed++) {
    await inVirtualTime(async (kernel) => {
      const got: string[] = [];
      await kernel.call(kernel.createOwner('s.1', 's'), () => {
        createServer((other) => other.on('data', (data) => got.push(...String(data)))).listen(1, 's');
      });
      const [a, b] = [connect({ host: 's', port: 1 }), connect({ host: 's', port: 1 })];
      await sleep(10);
      for (const char of ['1', '2', '3']) a.write(char);
      b.write('x');
      await sleep(10);
      expect(got.filter((char) => char !== 'x')).toEqual(['1', '2', '3']);
      orders.add(got.join(''));
    }, String(seed));
  }
  expect(orders.size).toBeGreaterThan(1);
});

test('a port that is taken is refused, and free again once its process has ended', async () => {
  const seen = await scene(async ({ kernel, server }) => {
    const listen = (owner: Owner): Promise<string> =>
      kernel.call(
        owner,
        () =>
          new Promise((resolve) => {
            const second = createServer();
            second.once('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
            second.listen(1, 's', () => resolve('listening'));
          }),
      );
    const taken = await listen(kernel.createOwner('s.2', 's'));
    kernel.kill(server);
    return [taken, await listen(kernel.createOwner('s.3', 's'))];
  });
  expect(seen).toEqual(['EADDRINUSE', 'listening']);
});
