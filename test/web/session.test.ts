import { describe, expect, it } from 'vitest';
import type { Decision, Gate, ImageSet, Network } from '../../src/index.js';
import type { EngineClient } from '../../web/engine/client.js';
import { Session, type Shown } from '../../web/session.js';

/** A gate by name; its scores are what a picture's must be to be accepted. */
const gateOf = (accept = 0.95): Gate => ({
  network: { config: { depth: 10, width: 1, classes: 10, inChannels: 3 } } as unknown as Network,
  precision: 'float32',
  score: 'energy',
  accept,
  calibration: { scores: Float64Array.from({ length: 99 }, (_, i) => i) },
});
const picture = (): Shown => ({ name: 'a', url: 'blob:a', thumbnail: 'data:a', pixels: new Uint8Array(3072) });

/** An engine whose calls are answered when the test says so. It scores by the place of its gate among `gates`. */
class FakeEngine {
  readonly calls: { readonly method: string; answer(): Promise<void>; refuse(message: string): Promise<void> }[] = [];
  private used: Gate | undefined;
  private readonly gates: readonly Gate[];

  constructor(...gates: Gate[]) {
    this.gates = gates;
  }

  get client(): EngineClient {
    return this as unknown as EngineClient;
  }

  call(method: 'use' | 'check', arg: Gate | ImageSet): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.calls.push({
        method,
        answer: () => {
          if (method === 'use') this.used = arg as Gate;
          resolve(method === 'check' ? this.decisions((arg as ImageSet).count) : undefined);
          return settled();
        },
        refuse: (message) => {
          reject(new Error(message));
          return settled();
        },
      });
    });
  }

  /** Answer what is asked until nothing is. */
  async answerAll(): Promise<void> {
    for (let call = this.calls.shift(); call; call = this.calls.shift()) await call.answer();
  }

  private decisions(count: number): Partial<Decision>[] {
    if (!this.used) throw new Error('the engine was asked before it had a gate');
    const score = this.gates.indexOf(this.used);
    return Array.from({ length: count }, () => ({ score, energy: -score, label: 0 }));
  }
}

/** Until everything that follows from the last answer was done. */
const settled = () => new Promise<void>((resolve) => setTimeout(resolve));
const scoresOf = (session: Session) => session.pictures.map(({ scored }) => scored?.score);

describe("the page's session", () => {
  const [a, b, broken] = [gateOf(), gateOf(), gateOf()];

  /** One that decides by `a`, and shows a picture. */
  async function opened() {
    const engine = new FakeEngine(a, b);
    const session = new Session();
    void session.use(a, 'a');
    void session.connect(engine.client);
    void session.show([picture()]);
    await settled();
    await engine.answerAll();
    expect(scoresOf(session)).toEqual([0]);
    return { engine, session };
  }

  it('asks about a picture once there is a gate, which may be later', async () => {
    const engine = new FakeEngine(a);
    const session = new Session();
    await session.connect(engine.client);
    void session.show([picture()]);
    await settled();
    expect(engine.calls).toEqual([]);
    void session.use(a, 'a');
    await settled();
    await engine.answerAll();
    expect(scoresOf(session)).toEqual([0]);
  });

  it('shows no score of a gate that was left while it was asked', async () => {
    const { engine, session } = await opened();
    void session.use(b, 'b');
    await settled();
    // The engine holds b now, and is asked about the picture as a is wanted back.
    await engine.calls.shift()!.answer();
    void session.use(a, 'a');
    await engine.calls.shift()!.answer();
    expect(scoresOf(session)).toEqual([undefined]);
    await engine.answerAll();
    expect(scoresOf(session)).toEqual([0]);
  });

  it('asks no gate that is on its way out', async () => {
    const { engine, session } = await opened();
    void session.use(b, 'b');
    await settled();
    // Back to a before the engine has b.
    void session.use(a, 'a');
    await engine.calls.shift()!.answer();
    expect(scoresOf(session)).toEqual([undefined]);
    await engine.answerAll();
    expect(scoresOf(session)).toEqual([0]);
  });

  it('goes back from a gate that cannot be used to the one that the engine holds, at its rate', async () => {
    const { engine, session } = await opened();
    session.setAccept(0.5);
    void session.show([picture()]);
    await settled();
    // b waits for the picture, and is passed over for the broken one.
    void session.use(b, 'b');
    const refused = expect(session.use(broken, 'broken')).rejects.toThrow('out of memory');
    await engine.calls.shift()!.answer();
    await engine.calls.shift()!.refuse('out of memory');
    await engine.answerAll();
    await refused;
    expect(session).toMatchObject({ gate: a, name: 'a', accept: 0.5 });
    expect(scoresOf(session)).toEqual([0, 0]);
  });

  it('keeps a gate whose engine was lost, and asks the next engine', async () => {
    const { engine, session } = await opened();
    const used = session.use(b, 'b');
    await settled();
    await session.connect(undefined);
    await engine.calls.shift()!.refuse('the device was lost');
    await used;
    expect(session.gate).toBe(b);
    const next = new FakeEngine(a, b);
    void session.connect(next.client);
    await settled();
    await next.answerAll();
    expect(scoresOf(session)).toEqual([1]);
  });
});
