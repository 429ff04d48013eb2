// Which vector of channels an invocation takes, of which chunk: rows first .. last - 1, or where it shares them its `member`-th.
const VECS = CHANNELS / WIDTH;
const SLOTS = WORKGROUP / LANES;
let id = (group.y * groups.x + group.x) * SLOTS + lane % SLOTS;
let member = lane / SLOTS;
let c = id % VECS;
let chunk = id / VECS;
let first = min(chunk * ROWS_PER_CHUNK, u32(ROWS));
let last = min(first + ROWS_PER_CHUNK, ROWS);
