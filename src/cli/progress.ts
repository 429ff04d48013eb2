/** The figures of a step by name, such as its loss. */
export type Figures = Readonly<Record<string, number>>;

export interface Progress {
  /** After step number `step` (from 1). */
  update(step: number, figures?: Figures): void;
  /** The work ended, or stopped: leaves the last line as it is and goes to a new one. */
  end(): void;
}

export interface ProgressOptions {
  readonly label: string;
  readonly total: number;
  /** Steps done before, by a run that this one continues. */
  readonly start?: number;
  /** What is counted; steps by default. */
  readonly unit?: string;
  readonly quiet?: boolean | undefined;
  readonly stream?: Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;
  /** Milliseconds of a clock. */
  readonly now?: () => number;
}

/** Milliseconds between two lines: redrawn on a terminal, written one below the other (in a log) elsewhere. */
const INTERVAL = { terminal: 100, log: 10_000 };
const BAR_WIDTH = 20;

/** A progress bar on stderr: steps, figures, rate and the time that is left. Nothing at all where `quiet`. */
export function startProgress(options: ProgressOptions): Progress {
  const {
    label,
    total,
    start = 0,
    unit = 'steps',
    quiet = false,
    stream = process.stderr,
    now = () => performance.now(),
  } = options;
  if (quiet) return { update: () => {}, end: () => {} };
  const began = now();
  const interval = stream.isTTY ? INTERVAL.terminal : INTERVAL.log;
  let written = -1;
  let shown: number | undefined;
  let last: { step: number; figures: Figures } | undefined;

  const write = (step: number, figures: Figures) => {
    written = now();
    shown = step;
    last = undefined;
    const rate = ((step - start) * 1000) / Math.max(1, written - began);
    const line = [
      label,
      ...(stream.isTTY ? [bar(step / total)] : []),
      `${formatCount(step)}/${formatCount(total)}`,
      ...Object.entries(figures).map(([name, value]) => `${name} ${formatFigure(value)}`),
      `${formatFigure(rate)} ${unit}/s`,
      step < total ? `${formatTime((total - step) / rate)} left` : `${formatTime((written - began) / 1000)} in all`,
    ].join('  ');
    stream.write(stream.isTTY ? `\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}` : `${line}\n`);
  };

  return {
    update(step, figures = {}) {
      if (step === total && step === shown) return; // said already
      last = { step, figures };
      if (written < 0 || step === total || now() - written >= interval) write(step, figures);
    },
    end() {
      if (last) write(last.step, last.figures);
      if (stream.isTTY && written >= 0) stream.write('\n');
    },
  };
}

function bar(fraction: number): string {
  const full = Math.round(fraction * BAR_WIDTH);
  return '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
}

/** Whole, but megabytes. */
const formatCount = (count: number): string => String(Number(count.toFixed(1)));

function formatFigure(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(3).replace(/e\+?/, 'e') : String(value);
}

/** `0:07`, `12:34`, `1:02:03`. */
export function formatTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const padded = (value: number) => String(value).padStart(2, '0');
  return `${hours ? `${hours}:${padded(minutes)}` : minutes}:${padded(whole % 60)}`;
}
