import type { FineTuneEvent } from './fine-tune.js';
import type { Adapter, Api, Call, Reply } from './worker.js';

/** The page's side of the worker that holds the engine. */
export class EngineClient {
  /** Called when the GPU device is lost, with the browser's reason. */
  onLost: (reason: string) => void = () => {};
  onTraining: (event: FineTuneEvent) => void = () => {};
  private readonly worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private calls = 0;
  private ended: Error | undefined;

  constructor() {
    this.worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.receive(data));
    this.worker.addEventListener('error', ({ message }) => this.onLost(message || 'the worker could not be started'));
  }

  /** Call a function of the worker's. Errors keep their name and message; bitmaps go over for good. */
  call<M extends keyof Api>(method: M, ...args: Parameters<Api[M]>): ReturnType<Api[M]> {
    if (this.ended) return Promise.reject(this.ended) as ReturnType<Api[M]>;
    const id = this.calls++;
    const reply = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    const transfer = args.filter((arg) => arg instanceof ImageBitmap);
    this.worker.postMessage({ id, method, args } satisfies Call, transfer);
    return reply as ReturnType<Api[M]>;
  }

  /** End the worker, and with it the device. Calls that wait, and later ones, fail with this reason. */
  end(reason: string): void {
    this.ended = new Error(reason);
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }

  private receive(reply: Reply): void {
    if ('event' in reply) {
      if (reply.event === 'lost') this.onLost(reply.detail);
      else this.onTraining(reply.detail);
      return;
    }
    const { resolve, reject } = this.waiting.get(reply.id)!;
    this.waiting.delete(reply.id);
    if ('value' in reply) resolve(reply.value as never);
    else reject(Object.assign(new Error(reply.error.message), { name: reply.error.name }));
  }
}

export type { Adapter };
