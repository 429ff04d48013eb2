// Counter-based random numbers: pcg4d (Jarzynski & Olano, "Hash Functions for GPU Rendering", JCGT 2020).
// The same four words give the same four random words on every device: (counter, step, stream, seed).
fn random4(counter: u32, step: u32, stream: u32, seed: u32) -> vec4u {
  var v = vec4u(counter, step, stream, seed) * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}
