import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeCheckpoint } from '../../src/nn/checkpoint.js';
import { measureEnergies, proposeMargins } from '../../src/nn/margins.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { readStateDict } from '../../src/node/files.js';
import { engine } from '../support/gpu.js';
import { data } from '../support/training.js';
import { energate } from './support/run.js';
import { npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const finetune = (...more: string[]) => [
  ...['finetune', '--weights', WEIGHTS, '--in', path('in.npz'), '--outliers', path('out.npz'), '--quiet'],
  ...['--batch', '6', '--outlier-batch', '10', '--output', path('tuned.safetensors'), ...more],
];
const regulariserIn = (folder: string) =>
  decodeCheckpoint(readFileSync(`${path(folder)}/checkpoint.safetensors`), folder).options.regulariser;

beforeAll(() => {
  writeFileSync(path('in.npz'), npzOf(data.inDistribution));
  writeFileSync(path('out.npz'), npzOf(data.outliers!));
});

describe('finetune --margins auto', () => {
  it('trains with the margins that the network at the start proposes, says them, and keeps them with --resume', async () => {
    const base = decodeNetwork(await readStateDict(WEIGHTS), WEIGHTS);
    const { mIn, mOut, reason } = proposeMargins(
      await measureEnergies(engine, base, data.inDistribution),
      await measureEnergies(engine, base, data.outliers!),
    );
    // Diverges, which leaves a checkpoint.
    const diverging = finetune('--margins', 'auto', '--steps', '40', '--lr', '1e30', '--checkpoint', path('state'));
    const first = await energate(diverging);
    expect(first.stderr).toContain('diverged');
    expect(first.stdout).toContain(`margins: m_in ${mIn}, m_out ${mOut}: ${reason}`);
    expect(regulariserIn('state')).toEqual({ kind: 'energy', mIn, mOut, lambda: 0.1 });

    const resume = ['--resume', path('state')];
    const again = await energate(finetune('--margins', 'auto', '--loss', 'energy', '--lambda', '0.1', ...resume));
    expect(again.stderr).toContain('diverged');
    expect(again.stdout).toBe('');
    expect(regulariserIn('state')).toEqual({ kind: 'energy', mIn, mOut, lambda: 0.1 });
    const other = await energate(finetune('--m-in', '-40', ...resume));
    expect(other.stderr).toContain('--m-in differs from the run');
  });

  it.each([
    [['--margins', 'auto', '--m-in', '-3'], '--margins auto chooses what --m-in would set'],
    [['--margins', 'auto', '--m-out', '-3'], '--margins auto chooses what --m-out would set'],
    [['--margins', 'auto', '--loss', 'oe'], '--loss oe has no margins'],
    [['--margins', 'wide'], '--margins wide does not exist'],
  ])('refuses %j', async (args, message) => {
    expect((await energate(finetune(...args))).stderr).toContain(message);
  });
});
