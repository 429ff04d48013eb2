import { CLASS_NAMES, DataError, decodeGate, encodeGate, type Gate } from '../../src/index.js';
import { rateFor, type Session } from '../session.js';
import { download, find } from './dom.js';
import { count, number, percent } from './format.js';

export const GATE_ENDING = /\.(energate|safetensors)$/i;

/** The gate as a file: what it is, to save, to open. */
export class GateFile {
  private readonly facts = find('facts', HTMLDListElement);
  private readonly button = find('download', HTMLButtonElement);

  constructor(session: Session, open: (file: File) => void) {
    this.button.addEventListener('click', () => {
      if (session.gate) void saveGate(session.gate, session.name, session.accept);
    });
    const input = find('gate-file', HTMLInputElement);
    input.addEventListener('change', () => {
      const [file] = input.files ?? [];
      if (file) open(file);
      input.value = '';
    });
  }

  show({ gate, accept, calibrators }: Session): void {
    if (!gate) return;
    const { config, classNames } = gate.network;
    const sign = gate.score === 'energy' ? -1 : 1;
    const thresholds = calibrators.map(({ threshold }) => number(sign * threshold));
    const rows: [string, string][] = [
      ['Network', `WRN-${config.depth}-${config.width}, ${config.classes} classes`],
      ['Score', gate.score],
      ['Accepts', `${percent(accept)} in-distribution`],
      ['τ', thresholds.join(', ')],
      ['Calibrated on', `${count(gate.calibration.scores.length)} images`],
      ['Weights', gate.precision],
      ['Classes', classNames?.join(', ') ?? 'without names'],
    ];
    this.facts.replaceChildren(
      ...rows.map(([term, text]) => {
        const row = document.createElement('div');
        const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
        dt.textContent = term;
        dd.textContent = text;
        row.append(dt, dd);
        row.classList.toggle('whole', text.length > 40);
        return row;
      }),
    );
    this.button.disabled = false;
  }
}

/** Gates that were made here and are in no file yet. */
export const unsaved = new WeakSet<Gate>();

/** Save a gate, for this rate where its calibration allows it. */
export async function saveGate(gate: Gate, name: string, accept: number): Promise<void> {
  download(await encodeGate({ ...gate, accept: rateFor(gate, accept) }), `${fileName(name)}.energate`);
  unsaved.delete(gate);
}

const fileName = (name: string) =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '') || 'gate';

/** @throws DataError where it is no gate, of another version, or damaged, and where the page has no checksums to tell */
export async function openGate(file: File): Promise<{ gate: Gate; name: string }> {
  if (!isSecureContext) {
    throw new DataError(
      `${file.name}: a page that was loaded over plain http cannot check it; open this page over https, or from localhost`,
    );
  }
  const gate = await decodeGate(new Uint8Array(await file.arrayBuffer()), file.name);
  return { gate, name: file.name.replace(GATE_ENDING, '') };
}

/** Whether the embedded images are of this gate's classes. */
export const isEmbedded = ({ network }: Gate): boolean =>
  network.classNames?.length === CLASS_NAMES.length && network.classNames.every((name, i) => name === CLASS_NAMES[i]);
