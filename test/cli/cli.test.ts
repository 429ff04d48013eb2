import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { energate } from './support/run.js';

const COMMANDS = ['train', 'finetune', 'score', 'evaluate', 'convert', 'doctor'];

describe('energate', () => {
  it('--help lists every command', async () => {
    const { code, stdout, stderr } = await energate(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
  });

  it.each(COMMANDS)('%s --help shows its options and an example', async (name) => {
    const { code, stdout, stderr } = await energate([name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: energate ${name}`);
    expect(stdout).toMatch(new RegExp(`\\$ (\\w+=\\w+ )?energate ${name}`));
  });

  it('--version is that of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await energate(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('without a command shows the help on stderr, exit code 2', async () => {
    const { code, stdout, stderr } = await energate([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: energate');
  });

  it.each([
    [['doktor'], "energate: unknown command 'doktor' (Did you mean doctor?); see energate --help\n"],
    [['--jsn'], "energate: unknown option '--jsn'; see energate --help\n"],
    [['doctor', '--jsn'], "energate: unknown option '--jsn' (Did you mean --json?); see energate doctor --help\n"],
    [
      ['doctor', 'x'],
      "energate: too many arguments for 'doctor'. Expected 0 arguments but got 1; see energate doctor --help\n",
    ],
  ])('refuses %j in one line, exit code 2', async (args, stderr) => {
    expect(await energate(args)).toEqual({ code: 2, stdout: '', stderr });
  });
});
