/** A server on 127.0.0.1 for the pages that a test's browser opens. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
};

export interface Site {
  /** Ends in a slash. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serve files to the browser.
 * @param files a folder, or the files' contents by path ('index.html'); / is index.html
 */
export async function serve(files: string | Readonly<Record<string, string | Uint8Array>>): Promise<Site> {
  const contents = async (path: string) =>
    typeof files === 'string' ? readFile(join(files, normalize(path))) : (files[path] ?? Promise.reject());
  const server: Server = createServer(async ({ url }, response) => {
    const path = decodeURIComponent(new URL(url!, 'http://localhost').pathname).slice(1) || 'index.html';
    try {
      const body = await contents(path);
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
