import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import { LAVAPIPE_HINT, vulkanManifests } from '../node/vulkan.js';
import { adapterKind, openAnnouncedEngine } from './engine.js';
import { Exit } from './exit.js';
import { addExamples } from './options.js';
import { isReexecuted } from './reexecute.js';
import { addIsRight, matmulSpeed } from './self-test.js';
import { installedVersion, ownVersion } from './version.js';

/** What `energate doctor --json` prints. */
interface Report {
  versions: { energate: string; webgpu: string | undefined; node: string; platform: string };
  /** How the adapter was looked for, and where. */
  search: string;
  /** None where there is no adapter; `problem` then says why. */
  adapter?: Engine['adapter'] & { kind: string };
  /** Which of the optional features that kernels can use it has. */
  features?: Record<string, boolean>;
  /** What its matrix units multiply at once, where it has some that `--float16` uses. */
  matrices?: Engine['matrices'];
  limits?: Record<string, number>;
  /** Of a matrix product: rough. */
  gflops?: number;
  problem?: string;
  /** What would be faster, and how to get it. */
  advice: string[];
}

const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
] as const;

export function defineDoctor(command: Command): void {
  command
    .description('Show which adapter is taken, how it was found, what it can do, and what would be faster.')
    .option('--json', 'print the same as JSON')
    .action(async ({ json }: { json?: true }) => {
      const report = await examine();
      console.log(json ? JSON.stringify(report, null, 2) : format(report));
      if (report.problem) process.exitCode = 1;
    });
  addExamples(command, [
    ['What is energate running on', 'energate doctor'],
    ['The same on SwiftShader, whatever else there is', 'ENERGATE_ADAPTER=swiftshader energate doctor'],
    ['The name of the adapter', 'energate doctor --json | jq -r .adapter.description'],
  ]);
}

async function examine(): Promise<Report> {
  const report: Report = {
    versions: {
      energate: ownVersion(),
      webgpu: installedVersion('webgpu'),
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
    },
    search: search(),
    advice: [],
  };
  let engine: Engine | undefined;
  try {
    engine = await openAnnouncedEngine({ quiet: true, float16: true });
    const { device } = engine;
    report.adapter = { ...engine.adapter, kind: adapterKind(engine.adapter) };
    report.features = Object.fromEntries(FEATURES.map((feature) => [feature, device.features.has(feature)]));
    report.matrices = engine.adapter.software ? undefined : engine.matrices;
    report.limits = Object.fromEntries(LIMITS.map((limit) => [limit, device.limits[limit]]));
    if (!(await addIsRight(engine))) report.problem = 'it adds numbers wrongly: update its driver';
    report.gflops = await matmulSpeed(engine);
  } catch (error) {
    if (error instanceof Exit || error instanceof UsageError) throw error;
    report.problem = (error as Error).message;
  } finally {
    engine?.destroy();
  }
  if (report.adapter?.kind !== 'GPU') report.advice = advise(report.adapter?.kind);
  return report;
}

function search(): string {
  if (process.platform === 'darwin') return 'Metal';
  if (process.platform === 'win32') return 'Direct3D 12';
  if (isReexecuted()) return `Vulkan, by the driver from @sparticuz/chromium: ${process.env.VK_DRIVER_FILES}`;
  const manifests = vulkanManifests();
  if (manifests.length === 0) return 'Vulkan, but no driver is installed';
  return `Vulkan, among ${manifests.length} drivers in ${[...new Set(manifests.map(dirname))].join(', ')}`;
}

/** How to get from the software `kind`, or from nothing, to something faster. */
function advise(kind: string | undefined): string[] {
  if (process.platform !== 'linux') return ["install the GPU's driver"];
  const advice: string[] = [];
  if (existsSync('/proc/driver/nvidia/version')) {
    advice.push(
      'there is an NVIDIA GPU, but not its Vulkan driver: install the package that holds libGLX_nvidia.so.0 and nvidia_icd.json ' +
        '(in a container: NVIDIA_DRIVER_CAPABILITIES=all), and libvulkan1',
    );
  } else if (renderNodes().length) {
    advice.push(
      `there is a GPU (${renderNodes().join(', ')}), but no Vulkan driver for it that Dawn accepts: install Mesa 24 or newer ` +
        '(mesa-vulkan-drivers), and see that you may open the device (group render)',
    );
  } else {
    advice.push('a GPU with a Vulkan driver would be far faster; there is none here, or this machine hides it');
  }
  if (kind === 'SwiftShader') advice.push(`lavapipe is several times as fast as SwiftShader: ${LAVAPIPE_HINT}`);
  return advice;
}

function renderNodes(): string[] {
  if (!existsSync('/dev/dri')) return [];
  const nodes = readdirSync('/dev/dri').filter((name) => name.startsWith('renderD'));
  return nodes.map((name) => `/dev/dri/${name}`);
}

function format({ versions, search, adapter, features, matrices, limits, gflops, problem, advice }: Report): string {
  const rows: (readonly [name: string, value: string])[] = [
    [
      'versions',
      `energate ${versions.energate}, webgpu ${versions.webgpu ?? '(not installed)'}, node ${versions.node}, ${versions.platform}`,
    ],
    ['searched', search],
  ];
  if (adapter) {
    const { kind, vendor, architecture, device, description, software } = adapter;
    rows.push(['adapter', `${description || device || 'unnamed'} (vendor ${vendor}, architecture ${architecture})`]);
    rows.push(['kind', software ? `${kind}, on the CPU (${availableParallelism()} threads)` : kind]);
  } else {
    rows.push(['adapter', 'none']);
  }
  for (const [name, has] of Object.entries(features ?? {})) rows.push([name, has ? 'yes' : 'no']);
  if (features) {
    rows.push(['matrix units', matrices ? `yes, ${matrices.height}x${matrices.width}x${matrices.terms}` : 'no']);
  }
  for (const [name, value] of Object.entries(limits ?? {})) rows.push([name, value.toLocaleString('en')]);
  if (gflops !== undefined) rows.push(['speed', `about ${gflops} GFLOP/s (matrix product)`]);
  if (adapter || problem) rows.push([problem ? 'problem' : 'check', problem ?? 'it computes, and rightly']);
  for (const line of advice) rows.push(['faster', line]);
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => name.padEnd(width) + value).join('\n');
}
