import { conv2dForward, conv2dBackwardData, conv2dBackwardWeights } from './src/kernels/conv2d.ts';
import { specialise } from './src/kernels/dispatch.ts';
const shape = { batch: 384, inHeight: 16, inWidth: 16, inChannels: 64, outChannels: 64, kernel: 3, stride: 1 };
const o = { workgroupMemory: true };
const which = process.argv[2];
const d: any = which === 'fwd' ? conv2dForward(shape, { x: 'x', w: ['w'], y: 'y' }, o) : which==='stat' ? conv2dForward(shape, { x: 'x', w: ['w'], y: 'y', partials: 'p', residual: 'r' }, o): which === 'bwd' ? conv2dBackwardData(shape, { gradient: 'x', w: ['w'], y: 'y' }, o) : conv2dBackwardWeights(shape, {x:'x',gradient:'g',partials:'p'}, o);
if (process.argv[3]==='wgsl') console.log(specialise(d, {}));
else {
const { create, globals } = await import('webgpu'); Object.assign(globalThis, globals);
const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
const a = await gpu.requestAdapter(); const dev = await a!.requestDevice();
const m = dev.createShaderModule({code: specialise(d, {})});
for (const x of (await m.getCompilationInfo()).messages) console.error(x.lineNum, x.message);
await dev.createComputePipelineAsync({layout:'auto', compute:{module:m}});
console.error(JSON.stringify(d.workgroups), JSON.stringify(d.constants));
process.exit(0); }
