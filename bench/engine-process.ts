import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Counts } from './counters.js';
import { concatenate, network } from './engines/weights.js';
import type { Opened, Reply, Request } from './protocol.js';
import type { Adapter } from './results.js';
import type { Case, NetworkWorkload } from './workloads.js';

/** Engines that are Python (`pytorch/worker.py`): they take part where they are asked for and PyTorch is installed. */
export const PYTHON_ENGINES: readonly string[] = ['torch', 'torch-autocast'];

/** Longest that one request may take, in milliseconds, before its process is given up. */
const PATIENCE = 15 * 60_000;

/** An engine in a child process. A process that dies or hangs fails its request, and a new one is started for the next. */
export class EngineProcess {
  readonly name: string;
  version = '';
  adapter: Adapter | undefined;
  apart = false;
  arithmetic = 'float32';
  /** Whether it is Python, not Node: arrays then travel as float32 in base64. */
  readonly python: boolean;
  private readonly options: { readonly toggles: string; readonly python: string };
  private child: ChildProcess | undefined;
  /** The last line it wrote to standard error: shown if it dies. */
  private lastWords = '';

  /**
   * @param options.toggles Dawn's, separated by commas
   * @param options.python the interpreter of engines that are Python
   */
  constructor(name: string, options: { readonly toggles: string; readonly python: string }) {
    this.name = name;
    this.python = PYTHON_ENGINES.includes(name);
    this.options = options;
  }

  async settings(work: Case): Promise<readonly string[]> {
    return (await this.request({ method: 'settings', work })) as string[];
  }

  async prepare(work: Case, setting: string): Promise<void> {
    const state = this.python && (work.kind === 'step' || work.kind === 'score') ? stateOf(work.parameters) : undefined;
    await this.request({ method: 'prepare', work, setting, ...(state && { state }) });
  }

  async outputs(): Promise<Float32Array[]> {
    const outputs = await this.request({ method: 'outputs' });
    return this.python ? (outputs as string[]).map(decode) : (outputs as Float32Array[]);
  }

  /** Milliseconds that `times` runs took. */
  async run(times: number): Promise<number> {
    return (await this.request({ method: 'run', times })) as number;
  }

  /** What one run asks of the GPU by WebGPU; nothing where it has none. */
  async count(): Promise<Counts | undefined> {
    return this.python ? undefined : ((await this.request({ method: 'count' })) as Counts);
  }

  async dispose(): Promise<void> {
    if (this.child) await this.request({ method: 'dispose' });
  }

  /** Start the process, unless it runs. */
  async open(): Promise<void> {
    if (this.child) return;
    this.child = this.start();
    this.child.stderr!.on('data', (chunk: Buffer) => {
      this.lastWords = chunk.toString().trim().split('\n').at(-1)!;
    });
    this.child.once('exit', () => {
      this.child = undefined;
    });
    const { version, apart, arithmetic, adapter } = (await this.send({ method: 'open' })) as Opened;
    this.version = version;
    this.apart = apart;
    this.arithmetic = arithmetic;
    this.adapter = adapter;
  }

  private start(): ChildProcess {
    const start = (script: string, args: string[], interpreter: ForkOptions) =>
      fork(fileURLToPath(new URL(script, import.meta.url)), args, {
        ...interpreter,
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        // An engine's chatter is not the benchmark's output.
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
    const { python, toggles } = this.options;
    return this.python
      ? start('engines/pytorch/worker.py', [this.name], { execPath: python, execArgv: ['-B'], serialization: 'json' })
      : start('worker.ts', [this.name, toggles], { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
  }

  close(): void {
    this.child?.disconnect();
    this.child = undefined;
  }

  private async request(request: Request): Promise<unknown> {
    await this.open();
    return this.send(request);
  }

  private send(request: Request): Promise<unknown> {
    const child = this.child!;
    return new Promise((resolve, reject) => {
      const settle = (then: () => void) => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
        child.off('error', onError);
        then();
      };
      const onMessage = (reply: Reply) =>
        settle(() => ('error' in reply ? reject(new Error(reply.error)) : resolve(reply.result)));
      const onExit = (code: number | null, signal: string | null) => {
        settle(() => reject(new Error(`the process ended with ${signal ?? `code ${code}`}: ${this.lastWords}`)));
      };
      const onError = (error: Error) => {
        this.child = undefined;
        settle(() => reject(new Error(`its process cannot be run: ${error.message}`)));
      };
      const timer = setTimeout(() => {
        this.lastWords = `it took longer than ${PATIENCE / 60_000} minutes`;
        child.kill('SIGKILL');
      }, PATIENCE);
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.on('error', onError);
      // That it was not sent, the events above say better.
      child.send(request, () => {});
    });
  }
}

/**
 * Start engines, and give those that did. Without PyTorch the others go on, and `note` gets a line.
 * @throws where any other does not start
 */
export async function opened(
  engines: readonly EngineProcess[],
  note: (line: string) => void,
): Promise<readonly EngineProcess[]> {
  const started: EngineProcess[] = [];
  for (const engine of engines) {
    try {
      await engine.open();
      started.push(engine);
    } catch (error) {
      const { message } = error as Error;
      if (!engine.python) throw new Error(`${engine.name} does not start: ${message}`);
      note(`${engine.name} is left out: ${message}`);
    }
  }
  return started;
}

/** The network that every engine begins with, in PyTorch's layouts and order. */
const stateOf = (config: NetworkWorkload): string => {
  const { buffer } = concatenate([...network(config).state.values()].map(({ data }) => data));
  return Buffer.from(buffer).toString('base64');
};

/** Copied, since a Buffer's memory need not be aligned. */
const decode = (base64: string): Float32Array =>
  new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
