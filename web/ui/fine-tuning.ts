import type { Gate, ImageSet } from '../../src/index.js';
import type { EngineClient } from '../engine/client.js';
import type { FineTuned, FineTuneEvent, FineTuneOptions, Probe } from '../engine/fine-tune.js';
import { readImages } from '../pictures.js';
import { EnergyHistograms } from '../plots/energies.js';
import { LossCurve } from '../plots/loss.js';
import type { Session } from '../session.js';
import { find, say } from './dom.js';
import { duration, number, percent, plural } from './format.js';
import { isEmbedded, saveGate, unsaved } from './gate-file.js';
import { dismiss, notify } from './notices.js';

/** Margins of the embedded network, as `energate finetune` takes them. */
const EMBEDDED_MARGINS = { mIn: -13, mOut: -3 };

/** The section in which a gate is fine-tuned. */
export class FineTuning {
  private readonly form = find('tune', HTMLFormElement);
  private readonly start = find('tune-start', HTMLButtonElement);
  private readonly stop = find('tune-stop', HTMLButtonElement);
  private readonly progress = find('tune-progress', HTMLProgressElement);
  private readonly phase = find('tune-phase', HTMLParagraphElement);
  private readonly compare = find('compare', HTMLButtonElement);
  private readonly energies = new EnergyHistograms(find('energies', HTMLDivElement));
  private readonly loss = new LossCurve(find('loss', HTMLDivElement));
  /** Of the gate that the form suits. */
  private classes: string | undefined;
  /** Pictures of one's own, by what they are for. */
  private readonly own: { outliers?: ImageSet; inside?: ImageSet } = {};
  private pair: { before: Gate; after: Gate; names: { before: string; after: string } } | undefined;
  private run:
    | {
        readonly steps: number;
        first?: Probe;
        /** The first figures, and when they came. */
        began?: { readonly at: number; readonly step: number; readonly loss: number };
      }
    | undefined;

  private readonly session: Session;
  private readonly client: () => EngineClient | undefined;

  constructor(session: Session, client: () => EngineClient | undefined) {
    this.session = session;
    this.client = client;
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.tune();
    });
    this.form.addEventListener('change', () => this.showChoices());
    this.stop.addEventListener('click', () => {
      this.stop.disabled = true;
      this.phase.textContent = 'Stopping…';
      void this.client()?.call('stop');
    });
    this.compare.addEventListener('click', () => {
      void this.use(this.session.gate === this.pair?.after ? 'before' : 'after');
    });
    find('tuned-download', HTMLButtonElement).addEventListener('click', () => {
      if (this.pair) void saveGate(this.pair.after, this.pair.names.after, session.accept);
    });
    addEventListener('beforeunload', (event) => {
      if (this.run || this.notSaved().length > 0) event.preventDefault();
    });
    this.readInto('outlier-files', 'outliers');
    this.readInto('inside-file', 'inside');
  }

  /** Once an engine is there, and not while it trains. */
  enable(enabled: boolean): void {
    this.start.disabled = !enabled;
  }

  /** On the CPU a step of the usual size takes seconds. What was typed stays. */
  suit(adapter: { software: boolean }): void {
    if (!adapter.software) return;
    this.field('batch').defaultValue = '8';
    this.field('outlierBatch').defaultValue = '16';
  }

  /** After every change of the session. */
  show(gate: Gate): void {
    const { classNames, config } = gate.network;
    const classes = classNames?.join() ?? String(config.classes);
    if (classes !== this.classes) this.suitTo(isEmbedded(gate));
    this.classes = classes;
    this.compare.textContent = gate === this.pair?.after ? 'Show the gate before' : 'Show the fine-tuned gate';
  }

  receive(event: FineTuneEvent): void {
    const { run } = this;
    if (!run) return;
    if ('phase' in event) {
      const phases = {
        drawing: 'Drawing the images…',
        compiling: 'Compiling the training step…',
        calibrating: 'Calibrating on images it was not trained on…',
      };
      this.phase.textContent = phases[event.phase];
      this.progress.removeAttribute('value');
      if (event.phase !== 'drawing') say(phases[event.phase]);
    } else if ('margins' in event) {
      this.energies.setMargins(event.margins);
    } else if ('probe' in event) {
      this.energies.show(event.probe);
      run.first ??= event.probe;
      tile('accuracy', percent(event.probe.accuracy), `${percent(run.first.accuracy)} before`);
      tile('refused', percent(event.probe.refused), `${percent(run.first.refused)} before`);
      const { heldOut } = event.probe;
      find('tile-refused-name', HTMLElement).textContent = heldOut ? 'Outliers refused' : 'Training outliers refused';
      find('energies-caption', HTMLSpanElement).textContent = heldOut
        ? 'held-out energies; outline: before'
        : 'energies of held-out images, and of the outliers it is trained with; outline: before';
    } else {
      this.loss.add(event.logs);
      const last = event.logs.at(-1);
      if (!last) return;
      run.began ??= { at: performance.now(), step: last.step, loss: event.logs[0]!.loss };
      const { at, step, loss } = run.began;
      tile('loss', number(last.loss), `${number(loss)} at first`);
      this.progress.value = last.step / run.steps;
      const left = ((performance.now() - at) / 1000 / (last.step - step)) * (run.steps - last.step);
      const rest = last.step > step && left > 1 ? `, about ${duration(left)} left` : '';
      if (!this.stop.disabled) this.phase.textContent = `Step ${last.step} of ${run.steps}${rest}`;
    }
  }

  /** @param giveUp whether gates that were not saved may be lost by it */
  private async tune(giveUp = false): Promise<void> {
    const { gate, name } = this.session;
    const client = this.client();
    if (!gate) return notYet('There is no gate to fine-tune: open one, below.');
    const options = this.options();
    if (!client || !options || this.run) return;
    // The gate that is fine-tuned stays, as the one before.
    const lost = this.notSaved().filter((which) => this.pair?.[which] !== gate);
    if (lost.length > 0 && !giveUp) return this.askFor(lost);
    this.begin(options.steps);
    try {
      const tuned = await client.call('fineTune', gate, options);
      if (tuned) await this.offer(gate, name, tuned);
      else this.conclude('Stopped before the first step; the gate is as it was.');
    } catch (error) {
      this.phase.textContent = 'It ended early; the gate is as it was.';
      notify('training', { title: 'Fine-tuning failed', text: (error as Error).message });
    } finally {
      this.end();
    }
  }

  /** Which gates were fine-tuned here and are lost unless they are saved. */
  private notSaved(): ('before' | 'after')[] {
    const { pair } = this;
    return pair ? (['before', 'after'] as const).filter((which) => unsaved.has(pair[which])) : [];
  }

  /** Whether these may be lost. */
  private askFor(lost: readonly ('before' | 'after')[]): void {
    const names = lost.map((which) => `“${this.pair!.names[which]}”`).join(' and ');
    notify('training', {
      title: 'Fine-tuned and not saved',
      text: `Another fine-tuning takes the place of ${names}: download first what you want to keep.`,
      action: {
        label: 'Fine-tune anyway',
        run: () => {
          if (this.form.reportValidity()) void this.tune(true);
        },
      },
    });
  }

  /** What was trained can be saved from now on, whatever comes of using it. A gate that was opened meanwhile stays. */
  private async offer(before: Gate, name: string, { gate, steps }: FineTuned): Promise<void> {
    this.pair = { before, after: gate, names: { before: name, after: `${name}, fine-tuned` } };
    unsaved.add(gate);
    const n = gate.calibration.scores.length;
    find('tuned-text', HTMLParagraphElement).textContent =
      `${this.pair.names.after}: its τ was calibrated anew on ${plural(n, 'image')} that it was not trained on.` +
      (before.calibration.labels ? ' It is one for all classes; the gate before has one a class.' : '');
    this.conclude(`Done after ${plural(steps, 'step')}.`);
    this.show(this.session.gate!);
    find('tuned', HTMLDivElement).hidden = false;
    if (this.session.gate !== before) return;
    await this.use('after');
    if (this.session.gate === gate) say('The fine-tuned gate is in use.');
  }

  private conclude(text: string): void {
    this.phase.textContent = text;
    say(`Fine-tuning: ${text}`);
  }

  private begin(steps: number): void {
    this.run = { steps };
    dismiss('training');
    find('run', HTMLDivElement).hidden = false;
    this.start.hidden = true;
    this.stop.hidden = false;
    this.stop.disabled = false;
    this.stop.focus();
    this.progress.removeAttribute('value');
    this.energies.begin();
    this.loss.begin(steps);
    for (const name of ['accuracy', 'refused', 'loss']) tile(name, '–', '');
    this.phase.textContent = 'Preparing…';
  }

  private end(): void {
    this.run = undefined;
    const focused = document.activeElement === this.stop || document.activeElement === document.body;
    this.start.hidden = false;
    this.start.textContent = 'Fine-tune again';
    this.stop.hidden = true;
    this.progress.value = 1;
    if (focused) this.start.focus({ preventScroll: true });
  }

  /** One of the gates before and after, with all pictures decided again. */
  private async use(which: 'before' | 'after'): Promise<void> {
    if (!this.pair) return;
    try {
      await this.session.use(this.pair[which], this.pair.names[which], this.session.accept);
    } catch (error) {
      notify('training', { title: 'This gate cannot be used', text: (error as Error).message });
    }
  }

  private options(): FineTuneOptions | undefined {
    const number = (name: string) => Number(this.field(name).value);
    const [mIn, mOut] = [this.field('mIn').value, this.field('mOut').value];
    const chosen = new FormData(this.form);
    const wantsOwn = (name: string) => chosen.get(name) === 'own';
    const problem =
      wantsOwn('outliers') && !this.own.outliers
        ? 'Choose pictures to take as outliers, or take the embedded ones.'
        : wantsOwn('inside') && !this.own.inside
          ? 'Choose an .npz file of labelled images, or take the embedded ones.'
          : (mIn === '') !== (mOut === '')
            ? 'Give both margins, or leave both empty to have them measured.'
            : mIn !== '' && Number(mIn) >= Number(mOut)
              ? 'm_in must be below m_out: energies are to be low in-distribution and high outside.'
              : undefined;
    if (problem) return notYet(problem);
    return {
      steps: number('steps'),
      batch: number('batch'),
      outlierBatch: number('outlierBatch'),
      learningRate: number('learningRate'),
      margins: mIn === '' ? undefined : { mIn: Number(mIn), mOut: Number(mOut) },
      outliers: wantsOwn('outliers') ? this.own.outliers : undefined,
      inDistribution: wantsOwn('inside') ? this.own.inside : undefined,
      accept: this.session.accept,
    };
  }

  /** Of other classes than the embedded ones neither margins nor images are known. */
  private suitTo(embedded: boolean): void {
    const [shapes, own] = this.form.querySelectorAll<HTMLInputElement>('[name=inside]');
    shapes!.disabled = !embedded;
    (embedded ? shapes! : own!).checked = true;
    this.showChoices();
    this.field('mIn').value = embedded ? String(EMBEDDED_MARGINS.mIn) : '';
    this.field('mOut').value = embedded ? String(EMBEDDED_MARGINS.mOut) : '';
  }

  private showChoices(): void {
    const chosen = new FormData(this.form);
    find('outliers-own', HTMLDivElement).hidden = chosen.get('outliers') !== 'own';
    find('inside-own', HTMLDivElement).hidden = chosen.get('inside') !== 'own';
  }

  private readInto(id: string, key: 'outliers' | 'inside'): void {
    const input = find(id, HTMLInputElement);
    input.addEventListener('change', async () => {
      const client = this.client();
      const files = [...(input.files ?? [])];
      if (!client || files.length === 0) return;
      try {
        this.own[key] = await readImages(client, files);
        find(`${key}-count`, HTMLSpanElement).textContent = `(${plural(this.own[key].count, 'image')})`;
      } catch (error) {
        notify('training', { title: 'These cannot be read', text: (error as Error).message });
      }
      input.value = '';
    });
  }

  private field(name: string): HTMLInputElement {
    return this.form.elements.namedItem(name) as HTMLInputElement;
  }
}

function notYet(text: string): undefined {
  notify('training', { title: 'Not yet', text });
}

function tile(name: string, value: string, before: string): void {
  document.getElementById(`tile-${name}`)!.textContent = value;
  document.getElementById(`tile-${name}-before`)!.textContent = before;
}
