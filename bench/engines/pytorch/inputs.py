"""The inputs of bench/inputs.ts and engines/weights.ts, bit for bit."""

import numpy as np

IN_SEED = 1
OUT_SEED = 2

WORD = 2**32
MULTIPLIER = 1664525
INCREMENT = 1013904223

MEAN = np.array([125.3, 123.0, 113.9]) / 255
STD = np.array([63.0, 62.1, 66.7]) / 255


def uniform(count, seed):
    """`count` float32 values in [-1, 1): a linear congruential generator's upper bits."""
    # Products of two words fit 64 bits, and wrap in a way that leaves the lower 32 right.
    states = np.empty(count, np.uint64)
    state = (seed * 0x9E3779B1 ^ 0x5BD1E995) % WORD
    if count:
        states[0] = (state * MULTIPLIER + INCREMENT) % WORD
    # What is there already, `done` steps on: state -> multiplier state + increment.
    done, multiplier, increment = 1, MULTIPLIER, INCREMENT
    while done < count:
        more = min(done, count - done)
        states[done : done + more] = (states[:more] * np.uint64(multiplier) + np.uint64(increment)) & np.uint64(WORD - 1)
        multiplier, increment = multiplier * multiplier % WORD, (multiplier * increment + increment) % WORD
        done *= 2
    return ((states >> np.uint64(8)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def scaled(count, seed, scale):
    return (uniform(count, seed).astype(np.float64) * scale).astype(np.float32)


def labels(count, classes):
    """Class numbers, int64 as PyTorch wants them."""
    return np.floor((uniform(count, 7).astype(np.float64) + 1) / 2 * classes).astype(np.int64)


def pixels(count, seed):
    """Pixels 0 to 255 of `count` images of 32 x 32 RGB."""
    return np.floor((uniform(count * 32 * 32 * 3, seed).astype(np.float64) + 1) * 128).astype(np.uint8)


def normalised_images(in_count, out_count):
    """[in_count + out_count, 32, 32, 3]: in-distribution images, then outliers."""
    parts = [pixels(in_count, IN_SEED), pixels(out_count, OUT_SEED)]
    images = np.concatenate(parts).reshape(-1, 32, 32, 3)
    return ((images / 255.0 - MEAN) / STD).astype(np.float32)
