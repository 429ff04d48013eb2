import { UsageError } from '../errors.js';

/**
 * SHA-256 in hexadecimal.
 * @throws {UsageError} in a page that browsers do not trust with WebCrypto
 */
export async function sha256({ buffer, byteOffset, byteLength }: ArrayBufferView): Promise<string> {
  if (!globalThis.crypto?.subtle) {
    throw new UsageError('checksums take crypto.subtle, which pages have over https or on localhost: open this one so');
  }
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
