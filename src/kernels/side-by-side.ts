import { MAX_WORKGROUPS } from './dispatch.js';

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
  subgroup_id: 'subgroup',
  subgroup_invocation_id: 'invocation',
};

const WORKGROUP_ARRAYS = /var<workgroup> (\w+): array<(\w+), (\w+)>;/g;

/**
 * One shader that runs several kernels which do not depend on one another. Each kernel's workgroups are spread evenly among all,
 * in their order: software drivers give each thread an equal run of them, and were all the long ones first, one thread would get
 * them. There are at most {@link MAX_WORKGROUPS}, in one dimension. Names are told apart by a prefix, bindings follow one another.
 * All have workgroups of one size, and one kernel's workgroup memory is the other's, as no workgroup runs both.
 */
export function sideBySide(sources: readonly Source[]): string {
  const memory = sources.map(({ code }) => demandsOf(code).memory).reduce(together);
  const directives = new Set<string>();
  let binding = 0;
  let calls = '';
  let left = sources.reduce((sum, { workgroups: [x, y, z] }) => sum + x * y * z, 0);
  const bodies = sources.map(({ code, workgroups: [x, y, z] }, i) => {
    const prefix = `k${i}_`;
    const seen: Record<string, number> = {};
    const arrays = [...code.matchAll(WORKGROUP_ARRAYS)].map(([, name, type]) => {
      seen[type!] = (seen[type!] ?? -1) + 1;
      return [name!, `memory_${type}_${seen[type!]}`] as const;
    });
    let text = code.replace(WORKGROUP_ARRAYS, '').replace(/^(?:enable|diagnostic).*;.*$/gm, (line) => {
      directives.add(line.replace(/\s*\/\/.*/, ''));
      return '';
    });
    const bindings = text.match(/@binding\(/g)!.length;
    text = text.replace(/@binding\((\d+)\)/g, (_, n) => `@binding(${binding + Number(n)})`);
    binding += bindings;
    for (const [name, common] of arrays) text = text.replace(new RegExp(`\\b${name}\\b`, 'g'), common);
    for (const name of moduleNames(text)) text = text.replace(new RegExp(`\\b${name}\\b`, 'g'), prefix + name);
    const main = new RegExp(`@compute @workgroup_size\\(\\w+\\)\\s*fn ${prefix}main\\(([^{]*)\\) \\{`);
    const parameters = [...main.exec(text)![1]!.matchAll(/@builtin\((\w+)\) (\w+): (\w+)/g)];
    text = text.replace(
      main,
      `fn ${prefix}main(${parameters.map(([, , name, type]) => `${name}: ${type}`).join(', ')}) {`,
    );
    const count = x * y * z;
    const position = `vec3u(within % ${x}u, (within / ${x}u) % ${y}u, within / ${x * y}u)`;
    // Of the `left` workgroups that are no earlier kernel's, this is number `at`; `within` of those before it are of this kernel.
    calls += `within = at * ${count}u / ${left}u;
  if ((at + 1u) * ${count}u / ${left}u > within) {
    let groups = vec3u(${x}u, ${y}u, ${z}u);
    let group = ${x === 1 ? `select(${position}, vec3u(0xffffffffu), never)` : position};
    ${prefix}main(${parameters.map(([, builtin]) => BUILTINS[builtin!]).join(', ')});
    return;
  }
  at -= within;
  `;
    left -= count;
    return text;
  });
  const workgroup = workgroupSize(sources[0]!.code);
  const ofSubgroups = ['subgroup_id', 'subgroup_invocation_id']
    .filter((builtin) => sources.some(({ code }) => code.includes(`@builtin(${builtin})`)))
    .map((builtin) => `  @builtin(${builtin}) ${BUILTINS[builtin]}: u32,\n`);
  const common = Object.entries(memory).flatMap(([type, lengths]) =>
    lengths.map((length, i) => `var<workgroup> memory_${type}_${i}: array<${type}, ${length}>;\n`),
  );
  return `${[...directives].join('\n')}
${common.join('')}${bodies.join('\n')}
@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) fused: vec3u,
  @builtin(local_invocation_index) lane: u32,
${ofSubgroups.join('')}) {
  const size = ${workgroup}u;
  // Kernels hide the counts of loops from compilers behind group.x, which therefore must not be a constant.
  let never = fused.x == 0xffffffffu;
  var at = fused.x;
  var within: u32;
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
  readonly memory: WorkgroupMemory;
}

/** Lengths of the arrays in workgroup memory, in order, by the type of their elements. */
export type WorkgroupMemory = Readonly<Record<string, readonly number[]>>;

/** What two kernels take side by side: in place of one's arrays, the other has its own. */
export function together(a: WorkgroupMemory, b: WorkgroupMemory): WorkgroupMemory {
  const types = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const longer = (one: readonly number[] = [], other: readonly number[] = []) =>
    Array.from({ length: Math.max(one.length, other.length) }, (_, i) => Math.max(one[i] ?? 0, other[i] ?? 0));
  return Object.fromEntries(types.map((type) => [type, longer(a[type], b[type])]));
}

const BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, vec4f: 16, vec4h: 8 };

export const memoryBytes = (memory: WorkgroupMemory): number =>
  Object.entries(memory).reduce((sum, [type, lengths]) => sum + lengths.reduce((a, b) => a + b, 0) * BYTES[type]!, 0);

export function demandsOf(code: string): Demands {
  const bindings = [...code.matchAll(/@binding\(\d+\) var<([^>]+)>/g)].map(([, space]) => space!);
  const memory: Record<string, number[]> = {};
  for (const [, , type, length] of code.matchAll(WORKGROUP_ARRAYS)) {
    memory[type!] = [...(memory[type!] ?? []), numberOf(length!, code)];
  }
  return {
    workgroup: workgroupSize(code),
    writes: bindings.map((space) => space.includes('read_write')),
    storageBuffers: bindings.filter((space) => space.startsWith('storage')).length,
    uniformBuffers: bindings.filter((space) => space === 'uniform').length,
    memory,
  };
}

/** A number, or that of the constant. */
function numberOf(text: string, code: string): number {
  return Number(/^\d+$/.test(text) ? text : new RegExp(`^const ${text} = (\\d+);`, 'm').exec(code)![1]);
}
