import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DownloadOptions, download } from '../../src/node/download.js';
import { expectRefusal } from '../support/refusal.js';

/** 300 KB without a pattern. */
const FILE = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255));
const MD5 = createHash('md5').update(FILE).digest('hex');

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let handle: Handler;
let requests: IncomingMessage[];
let server: Server;
let base: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(request);
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'energate-'));
  path = join(folder, 'set.bin');
  requests = [];
});
afterEach(() => rm(folder, { recursive: true }));

const patience = { stall: 1000, retry: 1 };

/** A connection that is to drop once the client has so many bytes. */
let dropping: { at: number; response: ServerResponse } | undefined;
const fetchFile = (
  published: { size?: number; md5?: string } = { size: FILE.length, md5: MD5 },
  options: DownloadOptions = {},
) =>
  download({ url: `${base}/set.bin`, ...published }, path, {
    patience,
    ...options,
    onProgress(done, total) {
      options.onProgress?.(done, total);
      if (dropping && done >= dropping.at) dropping.response.destroy();
    },
  });

/** Serves `file` as a good server does, with ranges; ends the connection after `drop` bytes of each. */
const serve = ({
  file = FILE,
  etag = '"1"',
  drop = Number.POSITIVE_INFINITY,
  ranges = true,
  headers = {} as Record<string, string>,
} = {}): Handler => {
  return (request, response) => {
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const valid = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const start = ranges && asked && valid ? Number(asked[1]) : 0;
    const body = file.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': body.length,
      ...(etag && { etag }),
      ...(start > 0 && { 'content-range': `bytes ${start}-${file.length - 1}/${file.length}` }),
      ...headers,
    });
    dropping = drop < body.length ? { at: start + drop, response } : undefined;
    if (dropping) response.write(body.subarray(0, drop));
    else response.end(body);
  };
};

const whole = async () => {
  expect(await readdir(folder)).toEqual(['set.bin']);
  expect((await readFile(path)).equals(FILE)).toBe(true);
};

describe('download', () => {
  it('brings the file, with its progress, and leaves nothing beside', async () => {
    handle = serve();
    const seen: [number, number | undefined][] = [];
    expect(await fetchFile(undefined, { onProgress: (...figures) => seen.push(figures) })).toEqual({
      size: FILE.length,
      existed: false,
    });
    await whole();
    expect(seen.at(-1)).toEqual([FILE.length, FILE.length]);
    expect(requests[0]!.headers['accept-encoding']).toBe('identity');
  });

  it('goes on where a connection dropped, again and again', async () => {
    handle = serve({ drop: 50_000 });
    await fetchFile();
    await whole();
    expect(requests.length).toBeGreaterThan(5);
    expect(requests[1]!.headers).toMatchObject({ range: 'bytes=50000-', 'if-range': '"1"' });
  });

  it('begins anew where the server ignores ranges', async () => {
    const handlers = [serve({ drop: 50_000 }), serve({ ranges: false })];
    handle = (request, response) => handlers[Math.min(requests.length, 2) - 1]!(request, response);
    await fetchFile();
    await whole();
  });

  it('begins anew where the file has changed in between', async () => {
    const other = Buffer.alloc(FILE.length, 7);
    const handlers = [serve({ file: other, etag: '"old"', drop: 50_000 }), serve({ etag: '"new"' })];
    handle = (request, response) => handlers[Math.min(requests.length, 2) - 1]!(request, response);
    await fetchFile();
    await whole();
  });

  it('goes on in a later call, unless nothing tells that it is the same file', async () => {
    handle = serve({ drop: 50_000 });
    const stop = new AbortController();
    const error = await fetchFile(
      {},
      { signal: stop.signal, onProgress: () => stop.abort(new Error('stopped')) },
    ).catch((reason) => reason);
    expect(error.message).toBe('stopped');
    expect((await readdir(folder)).sort()).toEqual(['set.bin.part', 'set.bin.part.json']);
    const have = (await readFile(`${path}.part`)).length;
    requests = [];
    handle = serve();
    await fetchFile();
    expect(requests[0]!.headers.range).toBe(`bytes=${have}-`);
    await whole();

    await rm(path);
    await writeFile(`${path}.part`, 'of something else');
    handle = serve();
    requests = [];
    await fetchFile();
    expect(requests[0]!.headers.range).toBeUndefined();
    await whole();
  });

  it('gives up a connection that stalls, and tries again', async () => {
    const stalling: Handler = (_, response) => {
      response.writeHead(200, { 'content-length': FILE.length, etag: '"1"' });
      response.write(FILE.subarray(0, 1000));
    };
    handle = (request, response) => (requests.length === 1 ? stalling : serve())(request, response);
    await fetchFile();
    await whole();
    expect(requests[1]!.headers.range).toBe('bytes=1000-');
  });

  it('is patient with a server that is slow, but not silent', async () => {
    handle = async (_, response) => {
      response.writeHead(200, { 'content-length': FILE.length });
      for (let at = 0; at < FILE.length; at += 50_000) {
        response.write(FILE.subarray(at, at + 50_000));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      response.end();
    };
    await fetchFile();
    await whole();
    expect(requests).toHaveLength(1);
  });

  it('tries again after errors of the server, and follows where it points', async () => {
    handle = (request, response) => {
      if (request.url === '/elsewhere.bin') serve()(request, response);
      else if (requests.length < 3) response.writeHead(503).end();
      else response.writeHead(302, { location: '/elsewhere.bin' }).end();
    };
    await fetchFile();
    await whole();
  });

  it('takes a file of unknown size', async () => {
    handle = (_, response) => response.writeHead(200).end(FILE);
    await fetchFile({});
    await whole();
  });

  it('finds a whole file in its place, and asks nobody', async () => {
    await writeFile(path, FILE);
    expect(await fetchFile()).toEqual({ size: FILE.length, existed: true });
    expect(requests).toHaveLength(0);
  });
});

describe('download refuses', () => {
  it.each<[string, Handler, RegExp]>([
    [
      'a missing file, at once',
      (_, response) => response.writeHead(404).end(),
      /set\.bin: the server answers 404 Not Found; the set may have moved/,
    ],
    [
      'a file of another size, before it comes',
      serve({ file: FILE.subarray(1) }),
      /serves 299999 bytes, but 300000 are published/,
    ],
    [
      'a file of the same size, but other bytes',
      serve({ file: Buffer.alloc(FILE.length, 1) }),
      /was received, but has the MD5 [0-9a-f]{32} where .* is published/,
    ],
    [
      'a web page',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>'),
      /serves a web page, not the file/,
    ],
    [
      'a file that only says it is shorter, after it came',
      (_, response) => response.writeHead(200).end(FILE.subarray(0, 1000)),
      /was received, but has 1000 bytes where 300000 are published/,
    ],
  ])('%s', async (_, handler, message) => {
    handle = handler;
    await expectRefusal(fetchFile(), message);
    expect(requests).toHaveLength(1);
    expect(await readdir(folder), 'nothing is left').toEqual([]);
  });

  it('a server that never comes to anything, after five tries', async () => {
    handle = (_, response) => response.destroy();
    await expectRefusal(fetchFile(), /set\.bin: .*, 5 times in a row; run the same again to go on/);
    expect(requests).toHaveLength(5);
    handle = (_, response) => response.writeHead(500).end();
    await expectRefusal(fetchFile(), /the server answers 500, 5 times in a row/);
  });

  it('another range than it asked for', async () => {
    handle = (request, response) => {
      if (requests.length === 1) serve({ drop: 5000 })(request, response);
      else
        response
          .writeHead(206, { 'content-range': `bytes 0-9/${FILE.length}`, 'content-length': 10 })
          .end(FILE.subarray(0, 10));
    };
    await expectRefusal(fetchFile(), /serves another range than it was asked for/);
  });

  it('a file in its place that is another one', async () => {
    await writeFile(path, 'mine');
    await expectRefusal(
      fetchFile(),
      /set\.bin is there already, but has 4 bytes where 300000 are published; remove it/,
    );
    expect(await readFile(path, 'utf8')).toBe('mine');
  });

  it('a folder that is not there, and a disk without room', async () => {
    handle = serve();
    await expectRefusal(
      download({ url: `${base}/x` }, join(folder, 'no', 'x'), { patience }),
      /cannot write .*there is no such file or folder/,
    );
    handle = (_, response) => response.writeHead(200, { 'content-length': 1e15 }).end('x');
    await expectRefusal(fetchFile({}), /MB left, but 1000000000 MB are to come; free some space/);
  });
});

it('does not expand what a server sends compressed', async () => {
  const zipped = gzipSync(FILE);
  handle = serve({ file: zipped });
  await fetchFile({ size: zipped.length });
  expect((await readFile(path)).equals(zipped)).toBe(true);
});
