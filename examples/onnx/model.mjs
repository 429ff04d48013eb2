// A tiny classifier as an ONNX file, written by hand: logits = 20 W mean(pixels) + b, for pictures [N, 3, 32, 32] in 0 to 1. Its
// three classes are red, green and blue pictures. Yours comes out of torch.onnx.export and the like.

const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));
const text = (value) => new TextEncoder().encode(value);

/** A protobuf varint. */
function varint(value) {
  const digits = [];
  for (; value > 127; value = Math.floor(value / 128)) digits.push((value % 128) + 128);
  return bytes(...digits, value);
}
const number = (field, value) => bytes(varint(field * 8), varint(value));
const message = (field, ...parts) => {
  const content = bytes(...parts);
  return bytes(varint(field * 8 + 2), varint(content.length), content);
};
const string = (field, value) => message(field, text(value));

// The fields of onnx.proto3.
const FLOAT = 1;
const dimension = (size) => message(1, typeof size === 'string' ? string(2, size) : number(1, size));
const value = (field, name, shape) =>
  message(field, string(1, name), message(2, message(1, number(1, FLOAT), message(2, ...shape.map(dimension)))));
const tensor = (name, shape, data) =>
  message(
    5,
    ...shape.map((size) => number(1, size)),
    number(2, FLOAT),
    string(8, name),
    message(9, new Uint8Array(Float32Array.from(data).buffer)),
  );
const node = (type, inputs, outputs) =>
  message(1, ...inputs.map((name) => string(1, name)), ...outputs.map((name) => string(2, name)), string(4, type));

/** The file's bytes. */
export function colourModel() {
  const graph = message(
    7,
    node('GlobalAveragePool', ['pictures'], ['means']),
    node('Flatten', ['means'], ['features']),
    node('Gemm', ['features', 'weight', 'bias'], ['logits']),
    string(2, 'colours'),
    tensor('weight', [3, 3], [20, 0, 0, 0, 20, 0, 0, 0, 20]),
    tensor('bias', [3], [0, 0, 0]),
    value(11, 'pictures', ['N', 3, 32, 32]),
    value(12, 'logits', ['N', 3]),
  );
  return bytes(number(1, 8), graph, message(8, string(1, ''), number(2, 17)));
}
