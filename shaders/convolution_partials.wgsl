// What batch norm needs of vector v of a chunk: in STATISTICS mean, squared deviations and count, from the sums of deviations from
// `pivot` and of their squares (`products`); in GRADIENTS its two sums.
// where STATISTICS:
let shift = sums / count;
P[chunk * 3 * OUT_VECS + v] = pivot + shift;
P[(chunk * 3 + 1) * OUT_VECS + v] = max(products - sums * shift, vec4f());
P[(chunk * 3 + 2) * OUT_VECS + v] = vec4f(count);
// end
// where GRADIENTS:
P[chunk * 2 * OUT_VECS + v] = sums;
P[(chunk * 2 + 1) * OUT_VECS + v] = products * FIGURES[3 * OUT_VECS + v];
// end
