import { SHADERS } from './shaders.js';
import { sideBySide } from './side-by-side.js';

export type ShaderName = keyof typeof SHADERS;

/** A value for one of a shader's `const`s: a number, a boolean, or three numbers for a `vec3f`. */
export type Constant = number | boolean | readonly [number, number, number];

/** What a shader's source is made from. */
export interface ShaderSpecialisation {
  /** Kernels that run side by side in one dispatch, in place of the one that the other members name (see side-by-side.ts). */
  readonly parts?: readonly Part[];
  readonly shader: ShaderName;
  readonly constants: Readonly<Record<string, Constant>>;
  /** Bindings that are to be uniform buffers: the name in the shader, and the length in elements. */
  readonly uniforms?: Readonly<Record<string, number>>;
}

/**
 * One kernel, specialised for its shapes and ready to be recorded: its shader, what is bound (in order of `@binding`) and
 * how many workgroups run. `B` is whatever stands for a buffer where the kernel is used: a graph's tensor, or a GPU buffer.
 */
export interface Dispatch<B> extends ShaderSpecialisation {
  readonly bindings: readonly B[];
  readonly workgroups: readonly [number, number, number];
}

/** A kernel that is a part of a dispatch, with its own share of the workgroups. */
export type Part = Pick<Dispatch<unknown>, 'shader' | 'constants' | 'uniforms' | 'workgroups'>;

/** The kernels that a dispatch runs. */
export const partsOf = <B>(dispatch: Dispatch<B>): readonly Part[] => dispatch.parts ?? [dispatch];

/** How many elements a kernel reads at once along channels: 4 where the count allows it, else 1. */
export function vectorWidth(channels: number): 1 | 4 {
  return channels % 4 === 0 ? 4 : 1;
}

/** The invocations in a workgroup of kernels that have no reason to choose otherwise. */
export const WORKGROUP = 64;

/** The lanes that kernels reckon with where none exchange. */
const MOST_LANES = 8;

/** The most workgroups a dimension has on every device. */
export const MAX_WORKGROUPS = 65535;

/** Workgroups that keep a software adapter's cores busy. */
export const SOFTWARE_WORKGROUPS = 32;

/** Workgroups for `count` independent invocations, folded into two dimensions past the limit of one. */
export function grid(count: number, workgroup: number = WORKGROUP): [number, number, number] {
  const groups = Math.ceil(count / workgroup);
  if (groups <= MAX_WORKGROUPS) return [groups, 1, 1];
  const rows = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / rows), rows, 1];
}

/** What an invocation of {@link striding} kernels takes: starting one costs, on a CPU more than its work does. */
const TURNS = 8;

/** Constants and workgroups of a kernel whose invocations each take several of `count` elements, a workgroup apart. */
export function striding(count: number): {
  constants: { TURNS: number; WORKGROUP: number };
  workgroups: [number, number, number];
} {
  return { constants: { TURNS, WORKGROUP }, workgroups: grid(count, TURNS * WORKGROUP) };
}

/** Invocations that share what one adds up elsewhere, on a GPU, and what each reads at once. */
const SHARING = { LANES: 8, SHARED: true, TOGETHER: 4 } as const;
const APART = { LANES: 1, SHARED: false, TOGETHER: 1 } as const;

/** Constants of kernels whose invocations can share a sum. */
export const sharing = (shared: boolean) => (shared ? SHARING : APART);

/** The largest of `candidates` (descending) that divides `n`. */
export function largestDivisor(n: number, candidates: readonly number[]): number {
  return candidates.find((candidate) => n % candidate === 0) ?? 1;
}

/** Which `const` holds the width of a vector type, by the type's name in the shaders. */
const VECTOR_TYPES = {
  Vec: 'WIDTH',
  InVec: 'IN_WIDTH',
  OutVec: 'OUT_WIDTH',
  FilterVec: 'FILTER_WIDTH',
} as const;

/** The most bytes a uniform buffer may have on every device (maxUniformBufferBindingSize). */
export const MAX_UNIFORM_BYTES = 65536;

/** What of a device decides between ways to write a kernel. */
export interface DeviceTraits {
  /**
   * Large kernels share what they read through workgroup memory, and a kernel of its own merges what many workgroups found: for
   * GPUs.
   */
  readonly workgroupMemory?: boolean | undefined;
  /**
   * Kernels exchange what all lanes need within subgroups, in so many lanes of them, rather than read one address from all lanes:
   * for software adapters, where each lane pays for that. In 8 they are written for lavapipe, in 4 for SwiftShader. Subgroups must
   * have exactly so many.
   */
  readonly lanes?: number | undefined;
  /** LLVM compiles for the CPU (lavapipe), which takes it seconds for long loops that are written out: they stay loops. */
  readonly llvm?: boolean | undefined;
}

/** Constants of kernels that exchange. */
export const exchange = ({ lanes }: DeviceTraits) => ({ SUBGROUPS: lanes !== undefined, LANES: lanes ?? MOST_LANES });

/**
 * What a GPU's matrix units multiply at once, float16 with sums in float32: [height, terms] by [terms, width], held by the
 * lanes of a subgroup together.
 */
export interface SubgroupMatrices {
  readonly height: number;
  readonly width: number;
  readonly terms: number;
  readonly lanes: number;
}

/**
 * A shader's source with its `const` lines set, bindings moved to uniform buffers where `uniforms` says so, vector types
 * narrowed to scalars where their width is 1, lines that end in `// where FLAG` left out where that constant is false, and
 * those in `// unless FLAG` where it is true (bindings and features have to go where they are not there), and loops marked `// unroll`
 * written out. Text substitution and not `override`s, because register tiles are arrays, whose sizes must be
 * constants.
 */
export function specialise({ parts, ...kernel }: ShaderSpecialisation): string {
  if (!parts) return unroll(select(kernel));
  return sideBySide(parts.map((part) => ({ code: unroll(select(part)), workgroups: part.workgroups })));
}

/** All of {@link specialise} but unrolling. */
export function select({ shader, constants, uniforms = {} }: Omit<ShaderSpecialisation, 'parts'>): string {
  let code: string = SHADERS[shader];
  for (const [name, value] of Object.entries(constants)) {
    const line = new RegExp(`^const ${name} = [^;]+;`, 'm');
    if (!line.test(code)) throw new Error(`shader ${shader} has no constant ${name}`);
    if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(`${shader}: ${name} is ${value}`);
    const literal = typeof value === 'object' ? `vec3f(${value.join(', ')})` : String(value);
    code = code.replace(line, `const ${name} = ${literal};`);
  }
  for (const [name, length] of Object.entries(uniforms)) {
    code = code.replace(
      new RegExp(`var<storage, read> ${name}: array<(\\w+)>;`),
      `var<uniform> ${name}: array<$1, ${length}>;`,
    );
  }
  code = selectLines(code);
  for (const [type, width] of Object.entries(VECTOR_TYPES)) {
    if (constants[width] === 1) code = code.replace(new RegExp(`alias ${type} = vec4([fu]);`), `alias ${type} = $132;`);
  }
  // A subgroup of 4 lanes is a quad, and SwiftShader hands values round quads in less time.
  if (constants.SUBGROUPS && constants.LANES === 4) code = code.replaceAll('subgroupShuffle(', 'quadBroadcast(');
  if (constants.WIDTH === 1 || constants.OUT_WIDTH === 1) code = code.replaceAll('.xyzw', '.x');
  return numberBindings(code);
}

/** Bindings are numbered in the order in which they stand, since some may have been left out. */
function numberBindings(code: string): string {
  let next = 0;
  return code.replace(/@binding\(\d+\)/g, () => `@binding(${next++})`);
}

/** Leave out the lines, and the blocks from `// where FLAG:` (or unless) to `// end`, whose condition does not hold. */
function selectLines(code: string): string {
  const holds = (condition: string, flag: string) =>
    new RegExp(`^const ${flag} = true;`, 'm').test(code) === (condition === 'where');
  const blocks: boolean[] = [];
  const lines = code.split('\n').filter((line) => {
    const [, condition, flag, block] = /\/\/ (where|unless) ([A-Z]+)(:?)$/.exec(line) ?? [];
    if (block) blocks.push(holds(condition!, flag!));
    else if (/^\s*\/\/ end$/.test(line)) blocks.pop();
    else return blocks.every(Boolean) && (!condition || holds(condition, flag!));
    return false;
  });
  return lines.join('\n');
}

const MARKED_LOOP = /\/\/ unroll\n\s*for \(var (\w+) = 0u?; \1 < ([\w *]+); \1\+\+\) \{/;

/**
 * Write out the marked loops, the outer ones first. Their bounds are products of literals and `const`s. SwiftShader unrolls
 * nothing itself, and keeps an array that is indexed by a variable in memory: register tiles are far faster so.
 */
function unroll(code: string): string {
  for (let match = MARKED_LOOP.exec(code); match; match = MARKED_LOOP.exec(code)) {
    const [head, variable, bound] = match as unknown as [string, string, string];
    const start = match.index + head.length;
    const end = closingBrace(code, start);
    const body = code.slice(start, end);
    const name = new RegExp(`\\b${variable}\\b`, 'g');
    const copies = Array.from({ length: evaluate(bound, code) }, (_, i) => `{${body.replace(name, String(i))}}`);
    code = code.slice(0, match.index) + copies.join('\n') + code.slice(end + 1);
  }
  return code;
}

/** Where the block ends whose first character is at `start`. */
function closingBrace(code: string, start: number): number {
  let depth = 1;
  let at = start;
  for (; depth > 0; at++) depth += code[at] === '{' ? 1 : code[at] === '}' ? -1 : 0;
  return at - 1;
}

function evaluate(product: string, code: string): number {
  return product
    .split('*')
    .map((factor) => factor.trim())
    .map((factor) => Number(/^\d/.test(factor) ? factor : new RegExp(`^const ${factor} = (\\d+);`, 'm').exec(code)![1]))
    .reduce((a, b) => a * b, 1);
}
