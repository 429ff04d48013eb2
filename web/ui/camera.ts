import type { EngineClient } from '../engine/client.js';
import { readFrame } from '../pictures.js';
import type { Session } from '../session.js';
import { find, say } from './dom.js';
import { number, probability } from './format.js';
import { notify } from './notices.js';

/** Between two looks, at least; a look that takes longer is waited for. */
const INTERVAL = 200;

/** The camera: what it sees is decided about again and again, and can be kept. Its pictures stay in the page. */
export class Camera {
  private readonly panel = find('camera', HTMLDivElement);
  private readonly video = find('video', HTMLVideoElement);
  private readonly decision = find('camera-decision', HTMLParagraphElement);
  /** Since it was last switched on, the browser's stream as soon as it is allowed; undefined while it is off. */
  private on: { stream?: MediaStream } | undefined;
  private taken = 0;

  private readonly session: Session;
  private readonly client: () => EngineClient | undefined;

  constructor(session: Session, client: () => EngineClient | undefined) {
    this.session = session;
    this.client = client;
    find('camera-start', HTMLButtonElement).addEventListener('click', () => void this.start());
    find('camera-stop', HTMLButtonElement).addEventListener('click', () => this.stop());
    find('camera-take', HTMLButtonElement).addEventListener('click', () => void this.take());
  }

  /** Where the browser still asks whether it may be used, what it gives then is ended at once. */
  stop(): void {
    const { on } = this;
    if (!on) return;
    this.on = undefined;
    end(on.stream);
    const focused = this.panel.contains(document.activeElement);
    this.panel.hidden = true;
    if (focused) find('camera-start', HTMLButtonElement).focus();
    say('The camera is off.');
  }

  private async start(): Promise<void> {
    if (!this.client() || this.on) return;
    const on: { stream?: MediaStream } = {};
    this.on = on;
    try {
      on.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    } catch (error) {
      if (this.on !== on) return;
      this.on = undefined;
      notify('camera', { title: 'There is no camera to use', text: reasonOf(error as Error) });
      return;
    }
    if (this.on !== on) return end(on.stream);
    for (const track of on.stream.getTracks()) {
      track.addEventListener('ended', () =>
        this.fail(on, new Error('Its picture ended: it was unplugged, or forbidden.')),
      );
    }
    try {
      this.video.srcObject = on.stream;
      this.panel.hidden = false;
      await this.video.play();
      find('camera-take', HTMLButtonElement).focus();
      say('The camera is on.');
      while (this.on === on) {
        await this.look();
        await new Promise((resolve) => setTimeout(resolve, INTERVAL));
      }
    } catch (error) {
      this.fail(on, error as Error);
    }
  }

  /** What fails because it was switched off is no problem. */
  private fail(on: Camera['on'], { message }: Error): void {
    if (this.on !== on) return;
    this.stop();
    notify('camera', { title: 'The camera was switched off', text: message });
  }

  private async look(): Promise<void> {
    const frame = await readFrame(this.client()!, this.video, 'camera');
    await this.session.check(frame);
    const verdict = this.session.verdict(frame);
    if (!verdict) return;
    const { className, label, energy } = frame.scored!;
    this.panel.dataset.verdict = verdict.accepted ? 'accepted' : 'refused';
    this.decision.textContent =
      `${verdict.accepted ? 'Accepted' : 'Refused'}: ${className ?? `class ${label}`}, ` +
      `E ${number(energy)}, p ${probability(verdict.pValue)}`;
  }

  private async take(): Promise<void> {
    try {
      const frame = await readFrame(this.client()!, this.video, `camera ${++this.taken}`);
      await this.session.show([frame]);
    } catch (error) {
      notify('camera', { title: 'This picture cannot be checked', text: (error as Error).message });
    }
  }
}

function end(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function reasonOf({ name, message }: Error): string {
  if (name === 'NotAllowedError')
    return 'The browser was not allowed to use it: allow it in the site’s settings, then try again.';
  if (name === 'NotFoundError') return 'None is connected. Drop pictures instead, or paste them.';
  return `The browser says: ${message}`;
}
