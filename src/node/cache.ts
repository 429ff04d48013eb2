import { access, constants, mkdir, realpath, stat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceError } from '../errors.js';

/** By number: in a container the user may have no name. None on Windows. */
const USER = process.getuid?.();

/** The user's own cache folder, or one for this user under the system's temporary folder where HOME cannot be written. */
export async function cacheFolder(): Promise<string> {
  const home = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const candidates = [join(home, 'energate'), join(tmpdir(), USER === undefined ? 'energate' : `energate-${USER}`)];
  for (const candidate of candidates) {
    const folder = await ours(candidate);
    if (folder) return folder;
  }
  throw new DeviceError(`cannot write safely to ${candidates.join(' or ')}: set XDG_CACHE_HOME to a folder of yours`);
}

/**
 * The folder without symbolic links, made where need be; undefined where it cannot be written, or is not this user's alone:
 * libraries are loaded from it, and under /tmp somebody else may have made it first.
 */
async function ours(path: string): Promise<string | undefined> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const folder = await realpath(path);
    const { uid, mode } = await stat(folder);
    // On Windows, a folder in the user's profile is that user's.
    if (USER !== undefined && (uid !== USER || mode & 0o022)) return undefined;
    await access(folder, constants.W_OK);
    return folder;
  } catch {
    return undefined;
  }
}
