import { OOD_FAMILIES } from '../src/index.js';
import { type Adapter, EngineClient } from './engine/client.js';
import { picturesOf, readPictures } from './pictures.js';
import { GateAxis } from './plots/gate-axis.js';
import { Session, type Shown } from './session.js';
import { Camera } from './ui/camera.js';
import { find, say } from './ui/dom.js';
import { FineTuning } from './ui/fine-tuning.js';
import { GATE_ENDING, GateFile, openGate } from './ui/gate-file.js';
import { dismiss, notify } from './ui/notices.js';
import { Rate } from './ui/rate.js';
import { familyName, Results, tallyOf } from './ui/results.js';
import { noWebGPU } from './ui/webgpu.js';

/** So many pictures are drawn at a click. */
const DRAWN = 8;

const session = new Session();
let client: EngineClient | undefined;
const current = () => client;

const axis = new GateAxis(find('axis', HTMLDivElement));
const results = new Results();
const rate = new Rate(session);
const tuning = new FineTuning(session, current);
const file = new GateFile(session, (chosen) => void openFile(chosen));
const camera = new Camera(session, current);

session.onChange = () => {
  const { gate, calibrators, pictures } = session;
  results.show(session);
  if (!gate) return;
  find('gate-name', HTMLParagraphElement).textContent = session.name;
  find('axis-caption', HTMLSpanElement).textContent =
    gate.score === 'energy'
      ? 'energies of calibration images, in nats; further right: less like them'
      : `${gate.score} scores of calibration images; further right: less like them`;
  rate.show(session);
  tuning.show(gate);
  file.show(session);
  axis.show(
    gate,
    calibrators,
    pictures.flatMap((picture) => {
      const verdict = session.verdict(picture);
      return verdict ? [{ score: picture.scored!.score, url: picture.thumbnail, ...verdict }] : [];
    }),
  );
};

/** A worker with a device of its own; again after the device was lost. */
async function startEngine(): Promise<void> {
  const status = find('adapter', HTMLParagraphElement);
  status.textContent = 'Starting the GPU…';
  setUsable(true);
  let next: EngineClient | undefined;
  try {
    if (!('gpu' in navigator)) throw new Error('no WebGPU');
    next = openClient();
    const adapter = await next.call('open');
    status.textContent = 'Compiling the network…';
    await session.connect(next).catch((error) => problem('This gate cannot be used', error));
    if (client !== next) return;
    status.textContent = adapter.software
      ? 'No GPU: computing on the CPU, slowly'
      : `Computing on the GPU${nameOf(adapter)}`;
    document.body.dataset.engine = 'ready';
    tuning.suit(adapter);
    tuning.enable(true);
  } catch (error) {
    if (client !== next) return;
    client = undefined;
    next?.end('the GPU could not be started');
    setUsable(false);
    status.textContent = 'No GPU';
    notify('engine', noWebGPU(error as Error));
  }
}

function openClient(): EngineClient {
  const opened = new EngineClient();
  opened.onTraining = (event) => tuning.receive(event);
  opened.onLost = (reason) => lost(opened, reason);
  client = opened;
  return opened;
}

/** Without an engine nothing is checked or trained; the calibration shows, τ moves and gates can be saved. */
function setUsable(usable: boolean): void {
  for (const id of ['inputs', 'tune']) find(id, HTMLElement).inert = !usable;
  if (!usable) camera.stop();
}

function lost(engine: EngineClient, reason: string): void {
  if (client !== engine) return;
  client = undefined;
  void session.connect(undefined);
  setUsable(false);
  tuning.enable(false);
  delete document.body.dataset.engine;
  find('adapter', HTMLParagraphElement).textContent = 'The GPU is gone';
  engine.end(reason);
  notify('engine', {
    title: 'The GPU device was lost',
    text: `The browser says: ${reason}. The gate and the pictures are still here.`,
    action: { label: 'Start it again', run: () => void startEngine() },
    lasting: true,
  });
}

const nameOf = ({ vendor, architecture, description }: Adapter) => {
  const name = description || [vendor, architecture].filter(Boolean).join(' ');
  return name ? `: ${name}` : '';
};

async function openFile(chosen: File): Promise<void> {
  try {
    const { gate, name } = await openGate(chosen);
    dismiss('file');
    await session.use(gate, name);
    // Another may have been opened meanwhile.
    if (session.gate === gate) say(`The gate ${name} is open.`);
  } catch (error) {
    problem('This gate cannot be opened', error);
  }
}

/** A gate, or pictures; whatever the way they came. */
async function take(files: readonly File[]): Promise<void> {
  const gate = files.find(({ name }) => GATE_ENDING.test(name));
  if (gate) return openFile(gate);
  if (!client || files.length === 0) return;
  try {
    const { pictures, refused } = await readPictures(client, files);
    if (refused.length > 0) {
      notify('file', {
        title: refused.length === 1 ? 'This is no picture' : 'Some of these are no pictures',
        text: `${refused.join(', ')}: this browser cannot read it as one, or not in this size. PNG, JPEG and WebP always work; a gate ends in .energate.`,
      });
    } else dismiss('file');
    await showAll(pictures);
  } catch (error) {
    problem('These pictures cannot be checked', error);
  }
}

async function showAll(pictures: readonly Shown[]): Promise<void> {
  if (pictures.length === 0) return;
  await session.show(pictures);
  say(tallyOf(session));
}

const problem = (title: string, error: unknown) => notify('file', { title, text: (error as Error).message });

/** Drops anywhere on the page; the zone lights up. */
function acceptDrops(): void {
  const zone = find('drop', HTMLDivElement);
  const isFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
  document.addEventListener('dragover', (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    zone.classList.add('over');
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) zone.classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    zone.classList.remove('over');
    if (!isFiles(event)) return;
    event.preventDefault();
    void take([...event.dataTransfer!.files]);
  });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void take(files);
  });
  const input = find('files', HTMLInputElement);
  input.addEventListener('change', () => {
    void take([...(input.files ?? [])]);
    input.value = '';
  });
}

/** A button for the embedded test set and one for each out-of-distribution family; every click draws further ones. */
function offerFamilies(): void {
  const drawn = new Map<string, number>();
  const add = (family: string, label: string) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = label;
    button.addEventListener('click', async () => {
      if (!client) return;
      const start = drawn.get(family) ?? 0;
      drawn.set(family, start + DRAWN);
      try {
        const set = await client.call('draw', family, start, DRAWN);
        await showAll(picturesOf(set, family === 'shapes' ? 'shapes' : familyName(family)));
      } catch (error) {
        problem('These pictures cannot be checked', error);
      }
    });
    find('families', HTMLDivElement).append(button);
  };
  add('shapes', 'shapes (in-distribution)');
  for (const family of OOD_FAMILIES) add(family, familyName(family));
}

acceptDrops();
offerFamilies();
find('clear', HTMLButtonElement).addEventListener('click', () => {
  session.clear();
  say('All pictures were removed.');
  find('files', HTMLInputElement).focus();
});

const engine = startEngine();
try {
  const response = await fetch('./shapes.energate');
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  const { gate } = await openGate(new File([await response.blob()], 'shapes.energate'));
  await session.use(gate, 'Shapes');
} catch (error) {
  problem('The gate of this page cannot be opened', error);
}
await engine;
