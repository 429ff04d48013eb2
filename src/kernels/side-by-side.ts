/** A kernel's source, specialised, and how many workgroups it has. */
interface Source {
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
}

const BUILTINS: Readonly<Record<string, string>> = {
  workgroup_id: 'group',
  num_workgroups: 'groups',
  local_invocation_index: 'lane',
  global_invocation_id: 'group * vec3u(size, 1u, 1u) + vec3u(lane, 0u, 0u)',
  subgroup_invocation_id: 'invocation',
};

/**
 * One shader that runs several kernels which do not depend on one another: the first workgroups are those of the first kernel,
 * and so on. Names are told apart by a prefix, bindings follow one another. All have workgroups of one size.
 */
export function sideBySide(sources: readonly Source[]): string {
  const directives = new Set<string>();
  const size = /@workgroup_size\((\w+)\)/;
  let binding = 0;
  let calls = '';
  let before = 0;
  const total = sources.reduce((sum, { workgroups: [x, y, z] }) => sum + x * y * z, 0);
  const bodies = sources.map(({ code, workgroups: [x, y, z] }, i) => {
    const prefix = `k${i}_`;
    let text = code.replace(/^(?:enable|diagnostic).*;.*$/gm, (line) => {
      directives.add(line.replace(/\s*\/\/.*/, ''));
      return '';
    });
    const count = text.match(/@binding\(/g)!.length;
    text = text.replace(/@binding\((\d+)\)/g, (_, n) => `@binding(${binding + Number(n)})`);
    binding += count;
    for (const name of moduleNames(text)) text = text.replace(new RegExp(`\\b${name}\\b`, 'g'), prefix + name);
    const main = new RegExp(`@compute @workgroup_size\\(\\w+\\)\\s*fn ${prefix}main\\(([^{]*)\\) \\{`);
    const parameters = [...main.exec(text)![1]!.matchAll(/@builtin\((\w+)\) (\w+): (\w+)/g)];
    text = text.replace(
      main,
      `fn ${prefix}main(${parameters.map(([, , name, type]) => `${name}: ${type}`).join(', ')}) {`,
    );
    const end = before + x * y * z;
    calls += `  ${i ? 'else ' : ''}if (at < ${end}u) {
    let within = at - ${before}u;
    let groups = vec3u(${x}u, ${y}u, ${z}u);
    let group = vec3u(within % ${x}u, (within / ${x}u) % ${y}u, within / ${x * y}u);
    ${prefix}main(${parameters.map(([, builtin]) => BUILTINS[builtin!]).join(', ')});
  }
`;
    before = end;
    return text;
  });
  const workgroup = workgroupSize(sources[0]!.code);
  const subgroups = sources.some(({ code }) => size.test(code) && code.includes('@builtin(subgroup_invocation_id)'));
  return `${[...directives].join('\n')}
${bodies.join('\n')}
@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) fused: vec3u,
  @builtin(num_workgroups) all: vec3u,
  @builtin(local_invocation_index) lane: u32,
${subgroups ? '  @builtin(subgroup_invocation_id) invocation: u32,\n' : ''}) {
  const size = ${workgroup}u;
  let at = fused.y * all.x + fused.x;
  if (at >= ${total}u) {
    return;
  }
${calls}}
`;
}

/** What a shader declares beside the members of its functions. */
function moduleNames(code: string): Set<string> {
  const declaration = /^(?:@group\(\d+\) @binding\(\d+\) )?(?:const|alias|struct|fn|var<[^>]*>) (\w+)/gm;
  const names = [...code.matchAll(declaration)].map(([, name]) => name!);
  return new Set([...names, 'main']);
}

/** Invocations in a workgroup. */
export function workgroupSize(code: string): number {
  return numberOf(/@workgroup_size\((\w+)\)/.exec(code)![1]!, code);
}

/** What a shader takes of a device's limits, and which of its bindings it writes. */
export interface Demands {
  readonly workgroup: number;
  readonly writes: readonly boolean[];
  readonly storageBuffers: number;
  readonly uniformBuffers: number;
  /** Bytes of workgroup memory. */
  readonly memory: number;
}

const BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, vec4f: 16 };

export function demandsOf(code: string): Demands {
  const bindings = [...code.matchAll(/@binding\(\d+\) var<([^>]+)>/g)].map(([, space]) => space!);
  const memory = [...code.matchAll(/var<workgroup> \w+: array<(\w+), (\w+)>/g)].map(
    ([, type, length]) => BYTES[type!]! * numberOf(length!, code),
  );
  return {
    workgroup: workgroupSize(code),
    writes: bindings.map((space) => space.includes('read_write')),
    storageBuffers: bindings.filter((space) => space.startsWith('storage')).length,
    uniformBuffers: bindings.filter((space) => space === 'uniform').length,
    memory: memory.reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** A number, or that of the constant. */
function numberOf(text: string, code: string): number {
  return Number(/^\d+$/.test(text) ? text : new RegExp(`^const ${text} = (\\d+);`, 'm').exec(code)![1]);
}
