import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type ImageSet, type Images, loadImages, sourceOf, subset } from '../data/image-set.js';
import { DataError } from '../errors.js';
import { looksLikeCifar } from '../formats/cifar.js';
import { type Decision, Detector } from '../gate/detector.js';
import { decodeGate } from '../gate/gate-file.js';
import { fitPicture, type Picture } from '../gate/resize.js';
import { inParallel, readFileBytes } from '../node/files.js';
import { CIFAR_PART, cifarFilesIn, readImageSet } from '../node/images.js';
import { DECODED_AT_ONCE, isPictureName, listPictures, readPicture } from '../node/pictures.js';
import { openAnnouncedEngine } from './engine.js';
import { Exit } from './exit.js';
import { addExamples, addQuiet } from './options.js';
import { isUnheard } from './output.js';

interface Arguments {
  readonly gate: string;
  readonly jsonl?: true;
  readonly strict?: true;
  readonly quiet?: true;
}

/** Pictures by their files, or a set. */
type Source = { readonly count: number } & ({ readonly pictures: readonly string[] } | { readonly set: Images });

/** Images a run, where there are few and where there are many: two sizes, so that drivers need to compile only for these. */
const BATCHES = [16, 100] as const;

/** The height and width that a gate makes of a picture. */
const SIZE = 32;

export function defineCheck(command: Command): void {
  command
    .description(
      'Ask a gate about images: is each in-distribution (accepted) or not (REFUSED), which class does the network name, its energy, and its p-value: of in-distribution images, at most a fraction p has a p-value of p or less.',
    )
    .argument(
      '<images...>',
      `pictures (.png, .jpg, .webp), folders of them, or image sets (.npz, .npy, .mat, .tar, CIFAR; ${CIFAR_PART.test})`,
    )
    .requiredOption('--gate <file>', 'what "energate calibrate" wrote')
    .option(
      '--jsonl',
      'a line of JSON an image: image, accepted, label, class, energy, score, p_value; image and error where it cannot be read',
    )
    .option('--strict', 'exit with code 3 where an image was refused');
  addQuiet(command);
  command.action(run);
  addExamples(command, [
    ['One picture and a folder', 'energate check --gate gate.energate photo.png folder/'],
    ['In a script', 'energate check --gate gate.energate --strict --quiet photo.png && upload photo.png'],
    ['For another program', 'energate check --gate gate.energate --jsonl folder/ | jq -r "select(.accepted).image"'],
  ]);
}

async function run(paths: readonly string[], args: Arguments): Promise<void> {
  const gate = await decodeGate(await readFileBytes(args.gate), args.gate);
  const sources = together(await Promise.all(paths.map(open)));
  const total = sources.reduce((sum, { count }) => sum + count, 0);
  const size = total <= BATCHES[0] ? BATCHES[0] : BATCHES[1];
  const engine = await openAnnouncedEngine(args);
  const detector = await Detector.of(engine, gate, { batch: size });
  const count = { accepted: 0, refused: 0, unreadable: 0 };
  for await (const answers of answersOf(detector, sources, size)) {
    // The exit code of --strict is of all of them.
    if (isUnheard() && !args.strict) break;
    for (const { image, decision, error } of answers) {
      if (error) {
        count.unreadable++;
        console.error(`energate: ${error.message}`);
        if (args.jsonl) console.log(JSON.stringify({ image, error: error.message }));
        continue;
      }
      count[decision!.accepted ? 'accepted' : 'refused']++;
      console.log(args.jsonl ? jsonLine(image, decision!) : textLine(image, decision!));
    }
  }
  detector.destroy();
  engine.destroy();
  if (!args.jsonl && !args.quiet) {
    const unreadable = count.unreadable > 0 ? `, ${count.unreadable} unreadable` : '';
    console.log(`${count.accepted} accepted, ${count.refused} refused${unreadable}`);
  }
  if (count.unreadable > 0) throw new Exit(1);
  if (args.strict && count.refused > 0) throw new Exit(3);
}

async function open(path: string): Promise<Source> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  if (isFolder ? !looksLikeCifar(await cifarFilesIn(path)) : isPictureName(path)) {
    const pictures = await listPictures(path);
    return { pictures, count: pictures.length };
  }
  const set = await readImageSet(path, { split: 'test' });
  return { set, count: set.count };
}

/** Pictures that follow one another are one source, so that they are asked about together. */
function together(sources: readonly Source[]): Source[] {
  const merged: Source[] = [];
  for (const source of sources) {
    const last = merged.at(-1);
    if (last && 'pictures' in last && 'pictures' in source) {
      merged[merged.length - 1] = {
        pictures: last.pictures.concat(source.pictures),
        count: last.count + source.count,
      };
    } else merged.push(source);
  }
  return merged;
}

interface Answer {
  readonly image: string;
  readonly decision?: Decision;
  /** The picture could not be read. */
  readonly error?: DataError;
}

/** Images that are asked about together, read: of a picture that could not be, why. */
type Piece = { readonly images: readonly string[] } & (
  | { readonly set: ImageSet }
  | { readonly pictures: readonly (Picture | DataError)[] }
);

/** Answers as they come, so many images at a time: the next are read while the device works at these. */
async function* answersOf(detector: Detector, sources: readonly Source[], size: number): AsyncGenerator<Answer[]> {
  for await (const piece of ahead(readPieces(sources, size))) {
    const { images } = piece;
    if ('set' in piece) {
      const decisions = await detector.check(piece.set);
      yield decisions.map((decision, i) => ({ image: images[i]!, decision }));
      continue;
    }
    const { pictures } = piece;
    const decisions = await detector.check(
      pictures.filter((picture): picture is Picture => !(picture instanceof DataError)),
    );
    let next = 0;
    yield pictures.map((picture, i) => ({
      image: images[i]!,
      ...(picture instanceof DataError ? { error: picture } : { decision: decisions[next++]! }),
    }));
  }
}

async function* readPieces(sources: readonly Source[], size: number): AsyncGenerator<Piece> {
  for (const source of sources) {
    for (let start = 0; start < source.count; start += size) {
      const count = Math.min(size, source.count - start);
      if ('set' in source) {
        const images = Array.from({ length: count }, (_, i) => `${sourceOf(source.set)}#${start + i}`);
        yield { images, set: await loadImages(subset(source.set, start, count)) };
      } else {
        const images = source.pictures.slice(start, start + count);
        const pictures: (Picture | DataError)[] = [];
        // Few at a time: photographs by the hundred would not fit in memory.
        await inParallel(count, DECODED_AT_ONCE, async (i) => {
          pictures[i] = await readSmall(images[i]!).catch(dataError);
        });
        yield { images, pictures };
      }
    }
  }
}

/** The values of `source`, the next of which is on its way while one is worked at. */
async function* ahead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = source.next();
  for (;;) {
    const { done, value } = await next;
    if (done) return;
    next = source.next();
    next.catch(() => {}); // thrown where it is awaited
    yield value;
  }
}

async function readSmall(path: string): Promise<Picture> {
  return { data: fitPicture(await readPicture(path), SIZE), width: SIZE, height: SIZE };
}

function dataError(error: unknown): DataError {
  if (error instanceof DataError) return error;
  throw error;
}

function jsonLine(image: string, { accepted, label, className, energy, score, pValue }: Decision): string {
  return JSON.stringify({ image, accepted, label, class: className, energy, score, p_value: pValue });
}

function textLine(image: string, { accepted, label, className, energy, pValue }: Decision): string {
  return [
    accepted ? 'accepted' : 'REFUSED ',
    `p ${pValue.toFixed(4)}`,
    `energy ${energy.toFixed(3).padStart(8)}`,
    (className ?? `class ${label}`).padEnd(12),
    image,
  ].join('  ');
}
