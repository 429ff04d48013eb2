import type { EngineClient } from '../engine/client.js';
import { readFrame } from '../pictures.js';
import type { Session, Shown } from '../session.js';
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
  private stream: MediaStream | undefined;
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

  private async start(): Promise<void> {
    const client = this.client();
    if (!client || this.stream) return;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    } catch (error) {
      notify('camera', { title: 'There is no camera to use', text: reasonOf(error as Error) });
      return;
    }
    this.video.srcObject = this.stream;
    this.panel.hidden = false;
    await this.video.play();
    find('camera-take', HTMLButtonElement).focus();
    say('The camera is on.');
    while (this.stream) {
      await this.look(client).catch(() => this.stop());
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
  }

  private stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
    this.panel.hidden = true;
    find('camera-start', HTMLButtonElement).focus();
    say('The camera is off.');
  }

  private async look(client: EngineClient): Promise<void> {
    const frame = await readFrame(client, this.video, 'camera');
    const [scored] = await client.call('check', {
      name: 'camera',
      images: frame.pixels,
      count: 1,
      height: 32,
      width: 32,
    });
    const verdict = this.session.verdict({ scored: scored! })!;
    this.panel.dataset.verdict = verdict.accepted ? 'accepted' : 'refused';
    this.decision.textContent =
      `${verdict.accepted ? 'Accepted' : 'Refused'}: ${scored!.className ?? `class ${scored!.label}`}, ` +
      `E ${number(scored!.energy)}, p ${probability(verdict.pValue)}`;
  }

  private async take(): Promise<void> {
    const frame: Shown = await readFrame(this.client()!, this.video, `camera ${++this.taken}`);
    await this.session.show([frame]);
  }
}

function reasonOf({ name, message }: Error): string {
  if (name === 'NotAllowedError')
    return 'The browser was not allowed to use it: allow it in the site’s settings, then try again.';
  if (name === 'NotFoundError') return 'None is connected. Drop pictures instead, or paste them.';
  return `The browser says: ${message}`;
}
