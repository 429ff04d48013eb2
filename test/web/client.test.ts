import { afterEach, expect, it, vi } from 'vitest';
import { EngineClient } from '../../web/engine/client.js';

afterEach(() => vi.unstubAllGlobals());

it('fails the calls that wait for an engine when it ends, and those after', async () => {
  vi.stubGlobal('ImageBitmap', class {});
  vi.stubGlobal(
    'Worker',
    class {
      addEventListener() {}
      postMessage() {}
      terminate() {}
    },
  );
  const client = new EngineClient();
  const waiting = client.call('open');
  client.end('the device was lost');
  await expect(waiting).rejects.toThrow('the device was lost');
  await expect(client.call('open')).rejects.toThrow('the device was lost');
});
