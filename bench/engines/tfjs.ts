import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { Case, Peer } from '../workloads.js';
import { type Runtime, tfjsTasks } from './tfjs-tasks.js';

/** Flags that change speed, by the name of the setting. The first is tfjs's default. */
const SUBMIT = { 'batch 15': 15, 'batch 1000': 1000 };
const TRANSPOSE = { naive: true, matmul: false };

/** TensorFlow.js on its WebGPU backend. */
export async function open(): Promise<Peer> {
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  await tf.setBackend('webgpu');
  await tf.ready();
  const backend = tf.backend() as WebGPUBackend;
  const runtime: Runtime = {
    apply(setting) {
      const [transpose, submit] = setting.split(', ') as [keyof typeof TRANSPOSE, keyof typeof SUBMIT];
      tf.env().set('WEBGPU_USE_NAIVE_CONV2D_TRANSPOSE', TRANSPOSE[transpose]);
      tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', SUBMIT[submit]);
    },
    async finish() {
      backend.ensureCommandEncoderReady();
      backend.endComputePassEncoder();
      backend.submitQueue();
      await backend.device.queue.onSubmittedWorkDone();
    },
  };
  return {
    version: tf.version.tfjs,
    settings: (work) =>
      (transposes(work) ? ['naive', 'matmul'] : ['naive']).flatMap((transpose) =>
        Object.keys(SUBMIT).map((submit) => `${transpose}, ${submit}`),
      ),
    tasks: tfjsTasks(runtime),
  };
}

/** Whether a case computes the gradient of a convolution's input, so that the kind of transpose matters. */
const transposes = (work: Case): boolean =>
  work.kind === 'step' || (work.kind === 'conv2d' && work.parameters.direction === 'backward-data');
