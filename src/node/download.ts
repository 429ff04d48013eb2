import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DataError } from '../errors.js';
import { quote } from '../formats/array.js';
import { reason } from './files.js';

/** What is known of a file that is to be downloaded. */
export interface Published {
  readonly url: string;
  /** In bytes. */
  readonly size?: number | undefined;
  /** MD5, in hexadecimal: what the field publishes. It tells accidents, not attacks. */
  readonly md5?: string | undefined;
}

export interface DownloadOptions {
  /** Gets the bytes that are there, and how many there will be if the server says so. */
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which a connection is given up, and before the first try again (then doubled). */
  readonly patience?: { readonly stall: number; readonly retry: number } | undefined;
}

/** Tries in a row that bring no byte. */
const TRIES = 5;
const PATIENCE = { stall: 60_000, retry: 1000 };

/** What a part is a part of: it goes on only where the server still has the same. */
interface Validator {
  readonly url: string;
  readonly etag?: string | undefined;
  readonly modified?: string | undefined;
}

/** A failure that another try may mend. */
class Interruption extends Error {}

/**
 * Download a file: to `PATH.part` beside its place, from where a later call goes on (HTTP ranges, If-Range), then checked and
 * renamed. A connection that drops or stalls is tried again.
 * @returns its size in bytes, and whether it was there already
 * @throws {DataError} if the server refuses or sends something else, the file does not match what is published, or there is
 * no room for it.
 */
export async function download(
  published: Published,
  path: string,
  options: DownloadOptions = {},
): Promise<{ size: number; existed: boolean }> {
  const existing = await stat(path).catch(() => undefined);
  if (existing) {
    await check(path, published, `${path} is there already, but`, 'remove it, or give another --output');
    return { size: existing.size, existed: true };
  }
  const part = `${path}.part`;
  const { patience = PATIENCE, signal } = options;
  for (let failures = 0; ; failures++) {
    const before = await sizeOf(part);
    try {
      await transfer(published, part, options);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Interruption)) throw error;
      if ((await sizeOf(part)) > before) failures = 0;
      if (failures + 1 >= TRIES) {
        throw new DataError(`${published.url}: ${error.message}, ${TRIES} times in a row; run the same again to go on`);
      }
      await sleep(patience.retry * 2 ** failures, signal);
    }
  }
  try {
    await check(part, published, `${published.url} was received, but`, 'give a --mirror that has the published file');
  } catch (error) {
    await discard(part);
    throw error;
  }
  const size = await sizeOf(part);
  await rename(part, path).catch((error) => {
    throw new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error });
  });
  await rm(sidecar(part), { force: true });
  return { size, existed: false };
}

const sidecar = (part: string) => `${part}.json`;

async function discard(part: string): Promise<void> {
  await rm(part, { force: true });
  await rm(sidecar(part), { force: true });
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0;

/** One connection: the rest of the file, or all of it where the server has another or serves no ranges. */
async function transfer(published: Published, part: string, options: DownloadOptions): Promise<void> {
  const { url } = published;
  const { signal, patience = PATIENCE } = options;
  const stall = new AbortController();
  const watch = watchdog(
    () => stall.abort(new Interruption(`no byte came in ${patience.stall / 1000} s`)),
    patience.stall,
  );
  try {
    const have = await resumable(part, published);
    const response = await request(url, have, AbortSignal.any([stall.signal, ...(signal ? [signal] : [])]));
    const start = response.status === 206 ? have.size : 0;
    const total = totalOf(response, start);
    requireSame(response, total, published);
    await requireSpace(part, (total ?? published.size ?? 0) - start);
    await writeFile(sidecar(part), JSON.stringify(validatorOf(response, url)));
    const file = await open(part, start > 0 ? 'r+' : 'w');
    try {
      await receive(response, file, start, (done) => {
        watch.alive();
        options.onProgress?.(done, total);
      });
      const { size } = await file.stat();
      if (total !== undefined && size !== total)
        throw new Interruption(`the connection ended after ${size} of ${total} bytes`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (stall.signal.aborted) throw stall.signal.reason;
    if (error instanceof DataError || error instanceof Interruption) throw error;
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).syscall) {
      throw new DataError(`cannot write ${part}: ${reason(error)}`, { cause: error });
    }
    // fetch says no more than "fetch failed"; why, its cause knows.
    const { message, cause } = error as Error;
    throw new Interruption((cause as Error | undefined)?.message || message);
  } finally {
    watch.stop();
  }
}

/** What there is of the file, if it may be a part of what the server has. */
async function resumable(
  part: string,
  { url, md5 }: Published,
): Promise<{ size: number; validator: string | undefined }> {
  const size = await sizeOf(part);
  const text = size > 0 ? await readFile(sidecar(part), 'utf8').catch(() => undefined) : undefined;
  let known: Validator | undefined;
  try {
    known = text === undefined ? undefined : (JSON.parse(text) as Validator);
  } catch {
    known = undefined;
  }
  if (known?.url !== url) return { size: 0, validator: undefined };
  const validator = known.etag ?? known.modified;
  // Without a validator only a checksum would tell if the parts do not fit together.
  return validator || md5 ? { size, validator } : { size: 0, validator: undefined };
}

async function request(
  url: string,
  { size, validator }: { size: number; validator: string | undefined },
  signal: AbortSignal,
): Promise<Response> {
  // Else a server may compress, and fetch expand, what is compressed already.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (size > 0) {
    headers.range = `bytes=${size}-`;
    if (validator) headers['if-range'] = validator;
  }
  const response = await fetch(url, { headers, signal });
  const { status } = response;
  if (status === 200) return response;
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (Number(start) === size) return response;
    await response.body?.cancel();
    throw new DataError(`${url} serves another range than it was asked for; give a --mirror`);
  }
  await response.body?.cancel();
  if (status === 416) return request(url, { size: 0, validator: undefined }, signal);
  if (status === 429 || status >= 500) throw new Interruption(`the server answers ${status}`);
  throw new DataError(
    `${url}: the server answers ${status} ${quote(response.statusText)}; the set may have moved, give a --mirror`,
  );
}

function totalOf(response: Response, start: number): number | undefined {
  const range = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (response.status === 206 && range) return Number(range);
  const length = response.headers.get('content-length');
  return length === null ? undefined : start + Number(length);
}

/** Refuse before the bytes come what cannot be the file. */
function requireSame(response: Response, total: number | undefined, { url, size }: Published): void {
  const type = response.headers.get('content-type') ?? '';
  if (/^text\/html/i.test(type)) {
    throw new DataError(`${url} serves a web page, not the file; open it in a browser, or give a --mirror`);
  }
  if (size !== undefined && total !== undefined && total !== size) {
    throw new DataError(
      `${url} serves ${total} bytes, but ${size} are published; give a --mirror that has the published file`,
    );
  }
}

function validatorOf({ headers }: Response, url: string): Validator {
  // A weak one does not promise the same bytes.
  const etag = headers.get('etag');
  return {
    url,
    etag: etag && !etag.startsWith('W/') ? etag : undefined,
    modified: headers.get('last-modified') ?? undefined,
  };
}

async function requireSpace(part: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(part)).catch((error) => {
    throw new DataError(`cannot write ${part}: ${reason(error)}`, { cause: error });
  });
  if (bavail * bsize < needed) {
    const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
    throw new DataError(
      `${dirname(part)} has ${megabytes(bavail * bsize)} left, but ${megabytes(needed)} are to come; free some space or choose another --output`,
    );
  }
}

async function receive(
  response: Response,
  file: FileHandle,
  start: number,
  onBytes: (done: number) => void,
): Promise<void> {
  let at = start;
  for await (const chunk of response.body ?? []) {
    for (let from = 0; from < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, from, chunk.length - from, at);
      from += bytesWritten;
      at += bytesWritten;
    }
    onBytes(at);
  }
}

/** @throws {DataError} beginning with `subject` if a file is not what is published. */
async function check(path: string, { size, md5 }: Published, subject: string, remedy: string): Promise<void> {
  const actual = await sizeOf(path);
  if (size !== undefined && actual !== size) {
    throw new DataError(`${subject} has ${actual} bytes where ${size} are published; ${remedy}`);
  }
  if (md5 === undefined) return;
  const hash = createHash('md5');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Uint8Array);
  const digest = hash.digest('hex');
  if (digest !== md5) throw new DataError(`${subject} has the MD5 ${digest} where ${md5} is published; ${remedy}`);
}

/** Calls `bark` after so many milliseconds without a sign of life. */
function watchdog(bark: () => void, milliseconds: number): { alive(): void; stop(): void } {
  const timer = setTimeout(bark, milliseconds);
  return { alive: () => timer.refresh(), stop: () => clearTimeout(timer) };
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const wake = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', wake);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
