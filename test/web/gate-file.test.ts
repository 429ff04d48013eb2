import { afterEach, expect, it, vi } from 'vitest';
import { DataError } from '../../src/index.js';
import { openGate } from '../../web/ui/gate-file.js';

afterEach(() => vi.unstubAllGlobals());

it('says that a gate cannot be checked on a page over plain http, and what to do', async () => {
  vi.stubGlobal('isSecureContext', false);
  const opened = openGate(new File(['{}'], 'mine.energate'));
  await expect(opened).rejects.toThrow(DataError);
  await expect(opened).rejects.toThrow(/^mine\.energate: .*plain http.*https, or from localhost$/);
});
