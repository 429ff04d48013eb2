// Logits from onnxruntime-web, on the CPU; energy, threshold and p-values from energate, with no GPU at all.
// `npm run build && cd examples/onnx && npm install && node gate.mjs`
import { Calibrator, energy } from 'energate/ood';
import * as ort from 'onnxruntime-web';
import { colourModel } from './model.mjs';

const session = await ort.InferenceSession.create(colourModel());
const CLASSES = ['red', 'green', 'blue'];

/** Pictures that are mostly of one colour (a class, or undefined for grey), each a bit different. */
function pictures(count, colour) {
  const data = new Float32Array(count * 3 * 1024);
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < 3; c++) {
      const shade = colour === undefined ? 0.4 : c === (colour + n) % 3 ? 0.7 : 0.2;
      data.fill(shade + 0.2 * Math.random(), (n * 3 + c) * 1024, (n * 3 + c + 1) * 1024);
    }
  }
  return { data, count };
}

/** The logits, [count, 3]. */
async function logitsOf({ data, count }) {
  const { logits } = await session.run({ pictures: new ort.Tensor('float32', data, [count, 3, 32, 32]) });
  return logits.data;
}

/** Scores are higher for what the network knows: -E. */
const scores = (logits) => energy(logits, CLASSES.length).map((e) => -e);

const gate = new Calibrator(scores(await logitsOf(pictures(1000, 0))), { accept: 0.95 });
console.log(`threshold ${gate.threshold.toFixed(2)}, of 1000 held-out pictures`);

const known = scores(await logitsOf(pictures(200, 1)));
const grey = scores(await logitsOf(pictures(200)));
console.log(`coloured: ${known.filter((score) => gate.accepts(score)).length} of 200 accepted`);
console.log(
  `grey: ${grey.filter((score) => gate.accepts(score)).length} of 200 accepted, p = ${gate.pValue(grey[0]).toFixed(3)}`,
);
