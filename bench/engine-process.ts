import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Counts } from './counters.js';
import type { Adapter } from './results.js';
import type { Reply, Request } from './worker.js';
import type { Case } from './workloads.js';

/** Longest that one request may take, in milliseconds, before its process is given up. */
const PATIENCE = 15 * 60_000;

/** An engine in a child process. A process that dies or hangs fails its request, and a new one is started for the next. */
export class EngineProcess {
  readonly name: string;
  version = '';
  adapter: Adapter | undefined;
  private readonly toggles: string;
  private child: ChildProcess | undefined;
  /** The last line it wrote to standard error: shown if it dies. */
  private lastWords = '';

  constructor(name: string, toggles: string) {
    this.name = name;
    this.toggles = toggles;
  }

  async settings(work: Case): Promise<readonly string[]> {
    return (await this.request({ method: 'settings', work })) as string[];
  }

  async prepare(work: Case, setting: string): Promise<void> {
    await this.request({ method: 'prepare', work, setting });
  }

  async outputs(): Promise<Float32Array[]> {
    return (await this.request({ method: 'outputs' })) as Float32Array[];
  }

  /** Milliseconds that `times` runs took. */
  async run(times: number): Promise<number> {
    return (await this.request({ method: 'run', times })) as number;
  }

  /** What one run asks of the GPU. */
  async count(): Promise<Counts> {
    return (await this.request({ method: 'count' })) as Counts;
  }

  async dispose(): Promise<void> {
    if (this.child) await this.request({ method: 'dispose' });
  }

  /** Start the process, unless it runs. */
  async open(): Promise<void> {
    if (this.child) return;
    this.child = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [this.name, this.toggles], {
      execArgv: ['--import', 'tsx'],
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      serialization: 'advanced',
      // An engine's chatter is not the benchmark's output.
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.child.stderr!.on('data', (chunk: Buffer) => {
      this.lastWords = chunk.toString().trim().split('\n').at(-1)!;
    });
    this.child.once('exit', () => {
      this.child = undefined;
    });
    const { version, adapter } = (await this.send({ method: 'open' })) as { version: string; adapter: Adapter };
    this.version = version;
    this.adapter = adapter;
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
        then();
      };
      const onMessage = (reply: Reply) =>
        settle(() => ('error' in reply ? reject(new Error(reply.error)) : resolve(reply.result)));
      const onExit = (code: number | null, signal: string | null) => {
        settle(() => reject(new Error(`the process ended with ${signal ?? `code ${code}`}: ${this.lastWords}`)));
      };
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
      }, PATIENCE);
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.send(request);
    });
  }
}
