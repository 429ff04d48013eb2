import type { Notice } from './notices.js';

/** What to tell where no device could be opened, and what to do there. */
export function noWebGPU(error: Error): Notice {
  const common = { lasting: true } as const;
  if (!isSecureContext) {
    return {
      ...common,
      title: 'WebGPU works on secure pages only',
      text: 'This page was loaded over plain http. Open it over https, or from localhost.',
    };
  }
  if (!('gpu' in navigator)) {
    return {
      ...common,
      title: 'This browser has no WebGPU',
      text:
        'Pictures are checked on the GPU through WebGPU. Chrome and Edge have it from version 113 on, Safari from 26, ' +
        'Firefox from 141 on Windows and 145 on macOS. On Linux, Chrome may need chrome://flags/#enable-unsafe-webgpu, and ' +
        'Firefox dom.webgpu.enabled in about:config.',
    };
  }
  if (/no adapter/.test(error.message)) {
    return {
      ...common,
      title: 'WebGPU found no GPU',
      text:
        'The browser has WebGPU, but no adapter for it. Check that hardware acceleration is on in its settings and that ' +
        'the graphics driver is up to date; chrome://gpu, in Firefox about:support, tells what is missing.',
    };
  }
  return { ...common, title: 'The GPU could not be started', text: error.message };
}
