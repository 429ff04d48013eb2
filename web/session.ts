import { calibratorsOf } from '../src/gate/gate.js';
import type { Calibrator, Decision, Gate, ImageSet } from '../src/index.js';
import type { EngineClient } from './engine/client.js';

/** A picture that was shown to the gate. */
export interface Shown {
  readonly name: string;
  /** What people see, and the 32 x 32 pixels that the network sees. */
  readonly url: string;
  readonly thumbnail: string;
  readonly pixels: Uint8Array;
  /** What it truly is, where that is known. */
  readonly truth?: string;
  /** Absent until the network was asked. */
  scored?: Pick<Decision, 'score' | 'energy' | 'label' | 'className'>;
}

export interface Verdict {
  readonly accepted: boolean;
  readonly pValue: number;
}

/**
 * The gate in use, the acceptance rate and the pictures. The network is asked once about a picture; what the rate makes of
 * its score is decided here, at once.
 */
export class Session {
  gate: Gate | undefined;
  name = '';
  accept = 0.95;
  calibrators: readonly Calibrator[] = [];
  /** The highest rate that the calibration allows. */
  highestRate = 1;
  readonly pictures: Shown[] = [];
  /** Called after every change. */
  onChange: () => void = () => {};
  private client: EngineClient | undefined;
  /** The gate that the engine decides by, and how it was shown when it was left. */
  private held: readonly [gate: Gate, name: string, accept: number] | undefined;
  /** What the engine is doing for this session; each task waits for the one before. */
  private tasks: Promise<unknown> = Promise.resolve();

  /**
   * Decide by this gate. Its calibration shows before the engine is ready.
   * @param accept the rate; the one that the gate was made for where it is absent, or too high for its calibration
   * @throws what the engine says of a gate that it cannot use; then the one that it decides by stays
   */
  async use(gate: Gate, name: string, accept = gate.accept): Promise<void> {
    const { client } = this;
    if (this.held && this.held[0] === this.gate) this.held = [this.gate, this.name, this.accept];
    this.take(gate, name, accept);
    try {
      await this.inTurn(async () => {
        if (!client || this.gate !== gate) return;
        await client.call('use', gate);
        this.held = [gate, name, accept];
        await this.askShown(this.pictures);
      });
    } catch (error) {
      // It is no fault of the gate where the engine was lost: the next one is asked.
      if (this.client !== client) return;
      if (this.held && this.held[0] !== gate && this.gate === gate) {
        this.take(...this.held);
        await this.inTurn(() => this.askShown(this.pictures));
      }
      throw error;
    }
  }

  /** An engine that is open, from now on; none where it was lost. */
  connect(client: EngineClient | undefined): Promise<void> {
    this.client = client;
    this.held = undefined;
    this.tasks = Promise.resolve();
    return this.gate && client ? this.use(this.gate, this.name, this.accept) : Promise.resolve();
  }

  private take(gate: Gate, name: string, accept: number): void {
    this.gate = gate;
    this.name = name;
    this.highestRate = highestRateOf(gate);
    this.accept = rateFor(gate, accept);
    this.calibrators = calibratorsOf(gate, this.accept);
    for (const picture of this.pictures) delete picture.scored;
    this.onChange();
  }

  /** @throws DataError where the calibration images are too few for this rate */
  setAccept(fraction: number): void {
    this.calibrators = calibratorsOf(this.gate!, fraction);
    this.accept = fraction;
    this.onChange();
  }

  show(pictures: readonly Shown[]): Promise<void> {
    this.pictures.unshift(...pictures);
    this.onChange();
    return this.inTurn(() => this.askShown(pictures));
  }

  /** Have the network asked about a picture that is not shown. It stays without an answer while another gate is being opened. */
  check(picture: Shown): Promise<void> {
    return this.inTurn(() => this.ask([picture]));
  }

  clear(): void {
    for (const { url } of this.pictures.splice(0)) URL.revokeObjectURL(url);
    this.onChange();
  }

  /** What the gate says at the rate of the moment. */
  verdict({ scored }: Pick<Shown, 'scored'>): Verdict | undefined {
    if (!scored) return undefined;
    const calibrator = this.calibrators[scored.label] ?? this.calibrators[0]!;
    return { accepted: calibrator.accepts(scored.score), pValue: calibrator.pValue(scored.score) };
  }

  private async askShown(pictures: readonly Shown[]): Promise<void> {
    await this.ask(pictures);
    this.onChange();
  }

  /** Nothing where the engine does not hold the gate yet: once it does, it is asked about all pictures. */
  private async ask(pictures: readonly Shown[]): Promise<void> {
    const { client, gate } = this;
    const open = pictures.filter(({ scored }) => !scored);
    if (!client || !gate || gate !== this.held?.[0] || open.length === 0) return;
    const decisions = await client.call('check', setOf(open));
    if (this.gate !== gate) return;
    open.forEach((picture, i) => {
      picture.scored = decisions[i]!;
    });
  }

  private inTurn(task: () => Promise<void>): Promise<void> {
    const result = this.tasks.then(task);
    this.tasks = result.catch(() => undefined);
    return result;
  }
}

/** n / (n + 1), of the class with the fewest calibration images. */
function highestRateOf(gate: Gate): number {
  const counts = calibratorsOf(gate, gate.accept).map(({ scores }) => scores.length);
  return Math.min(...counts.map((n) => n / (n + 1)));
}

/** This rate; the one that the gate was made for where it is too high for its calibration. */
export const rateFor = (gate: Gate, accept: number): number => (accept <= highestRateOf(gate) ? accept : gate.accept);

export const BYTES = 32 * 32 * 3;

function setOf(pictures: readonly Shown[]): ImageSet {
  const images = new Uint8Array(pictures.length * BYTES);
  pictures.forEach(({ pixels }, i) => {
    images.set(pixels, i * BYTES);
  });
  return { name: 'pictures', images, count: pictures.length, height: 32, width: 32 };
}
