import { ShapeError } from '../errors.js';
import { type Gradient, requireShape, type Tensor } from './graph.js';
import { add } from './ops/elementwise.js';

/**
 * Reverse-mode differentiation, symbolically: adds to the graph the nodes that compute the gradients of a scalar with
 * respect to each of `wrt`, given its gradient with respect to `of` (which loss kernels compute together with the loss).
 * @param of where differentiation starts, say the logits
 * @param gradient of the scalar with respect to `of`, of the same shape
 * @param wrt the tensors whose gradients are wanted: parameters, inputs, any tensor that `of` depends on
 * @returns gradients in the order of `wrt`, each of its tensor's shape
 * @throws ShapeError where `of` does not depend on one of `wrt`, or an op on the way cannot be differentiated
 */
export function gradients(of: Tensor, gradient: Tensor, wrt: readonly Tensor[]): Tensor[] {
  requireShape('gradients', 'gradient', gradient, of.shape);
  const nodes = [...of.graph.nodes];
  const dependent = new Set<Tensor>(wrt);
  for (const node of nodes) {
    if (node.inputs.some((input) => dependent.has(input))) for (const output of node.outputs) dependent.add(output);
  }

  const found = new Map<Tensor, Tensor>([[of, gradient]]);
  for (const node of nodes.reverse()) {
    const incoming: Gradient[] = node.outputs.map((output) => found.get(output));
    const needed = node.inputs.map((input) => dependent.has(input));
    if (!incoming.some(Boolean) || !needed.some(Boolean)) continue;
    if (!node.op.vjp) throw new ShapeError(`gradients: ${node.op.name} cannot be differentiated`);
    const outgoing = node.op.vjp(node, incoming, needed);
    node.inputs.forEach((input, i) => {
      const addend = outgoing[i];
      if (!needed[i] || !addend) return;
      const sum = found.get(input);
      // A gradient that is passed on as it came has other readers; one made here has none yet, so it may be made anew.
      const fresh = !incoming.includes(addend);
      found.set(input, !sum ? addend : fresh ? accumulate(addend, sum) : add(addend, sum));
    });
  }

  return wrt.map((tensor) => {
    const result = found.get(tensor);
    if (!result) throw new ShapeError(`gradients: ${of.name} does not depend on ${tensor.name}`);
    return result;
  });
}

/** `fresh + sum`, folded into the kernel that makes `fresh` where it can add as it stores. Nobody else may read `fresh`. */
function accumulate(fresh: Tensor, sum: Tensor): Tensor {
  const { node } = fresh;
  // A kernel adds to its first output alone.
  return node?.outputs[0] === fresh && node.op.plus?.(node, sum) ? fresh : add(fresh, sum);
}
