"""The benchmark's cases, eager, as users of PyTorch write them. Inputs and results are in energate's layouts (NHWC, HWIO)."""

import contextlib

import torch
import torch.nn.functional as F

from inputs import labels, normalised_images, scaled, uniform
from wide_resnet import WideResNet

# As in workloads.ts.
M_IN, M_OUT, LAMBDA = -14, -1, 0.1
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.001, 0.9, 5e-4

LAYOUTS = {'NCHW': torch.contiguous_format, 'channels last': torch.channels_last}


class Runtime:
    """Where and how tasks compute: float32, or 16-bit convolutions and products by autocast, on CUDA or the CPU."""

    def __init__(self, autocast):
        cuda = torch.cuda.is_available()
        self.device = torch.device('cuda' if cuda else 'cpu')
        self.autocast = autocast
        self.dtype = torch.float32
        if autocast:
            self.dtype = torch.float16 if cuda else torch.bfloat16
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        # The fastest algorithm of each shape, by trying all when it is first met.
        torch.backends.cudnn.benchmark = True

    def version(self):
        """PyTorch's, what it computes on, and in what."""
        if self.device.type == 'cpu':
            place = f'the CPU, {torch.get_num_threads()} threads'
        else:
            place = f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}'
        return f'{torch.__version__} on {place}, {self.arithmetic()}'

    def arithmetic(self):
        """By its name in tolerance.ts."""
        name = str(self.dtype).removeprefix('torch.')
        return 'cuDNN float32' if (name, self.device.type) == ('float32', 'cuda') else name

    def finish(self):
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def mixed_precision(self):
        if not self.autocast:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def tensor(self, values, shape):
        return torch.from_numpy(values).reshape(shape).to(self.device)

    def input(self, shape, seed):
        """Uniform numbers, in the precision that products take."""
        return self.tensor(uniform(torch.Size(shape).numel(), seed), shape).to(self.dtype)

    def images(self, nhwc, setting):
        return nhwc.permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[setting])

    def network(self, depth, width, classes, state, setting):
        network = WideResNet(depth, width, classes)
        network.load(state)
        return network.to(self.device, memory_format=LAYOUTS[setting])


class Task:
    """`once` computes a list of tensors; `layout` brings results where energate has them."""

    def __init__(self, once, layout=lambda tensor: tensor):
        self.once = once
        self.layout = layout

    def outputs(self):
        results = [self.layout(tensor.detach()) for tensor in self.once()]
        return [tensor.float().reshape(-1).cpu().numpy() for tensor in results]


def nhwc(tensor):
    return tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor


def settings(runtime, kind):
    """Which layouts of images to try. None where the engine has no such case."""
    if kind not in TASKS:
        return []
    if runtime.autocast:
        # What is left out computes in float32 under autocast too.
        return {'matmul': [''], **dict.fromkeys(IMAGE_KINDS, ['channels last'])}.get(kind, [])
    return list(LAYOUTS) if kind in IMAGE_KINDS else ['']


IMAGE_KINDS = ('conv2d', 'batchNorm', 'step', 'score')


def copy(runtime, setting, bytes):
    source = runtime.input([bytes // 4], 1)
    target = torch.empty_like(source)
    return Task(lambda: [target.copy_(source)])


def relu(runtime, setting, size):
    x = runtime.input([size], 1)
    return Task(lambda: [F.relu(x)])


def matmul(runtime, setting, m, n, k):
    a, b = runtime.input([m, k], 1), runtime.input([k, n], 2)
    return Task(lambda: [a @ b])


def conv2d(runtime, setting, batch, inHeight, inWidth, inChannels, outChannels, kernel, stride, direction):
    pad = (kernel - 1) // 2
    height, width = ((side + 2 * pad - kernel) // stride + 1 for side in (inHeight, inWidth))
    x = runtime.images(runtime.input([batch, inHeight, inWidth, inChannels], 1), setting)
    w = runtime.input([kernel, kernel, inChannels, outChannels], 2).permute(3, 2, 0, 1)
    w = w.contiguous(memory_format=LAYOUTS[setting])
    dy = runtime.images(runtime.input([batch, height, width, outChannels], 3), setting)
    if direction == 'forward':
        return Task(lambda: [F.conv2d(x, w, stride=stride, padding=pad)], nhwc)
    # What autograd calls, for one of the two gradients.
    backward = torch.ops.aten.convolution_backward.default
    geometry = ([stride, stride], [pad, pad], [1, 1], False, [0, 0], 1)
    if direction == 'backward-data':
        return Task(lambda: [backward(dy, x, w, None, *geometry, [True, False, False])[0]], nhwc)
    return Task(
        lambda: [backward(dy, x, w, None, *geometry, [False, True, False])[1]],
        lambda gradient: gradient.permute(2, 3, 1, 0),
    )


def batch_norm(runtime, setting, batch, side, channels, backward):
    x = runtime.images(runtime.input([batch, side, side, channels], 1), setting)
    # Parameters stay float32 under autocast.
    gamma, beta = (runtime.tensor(uniform(channels, seed), [channels]) for seed in (2, 3))

    def forward():
        return F.relu(F.batch_norm(x, None, None, gamma, beta, training=True), inplace=True)

    if not backward:
        return Task(lambda: [forward()], nhwc)
    dy = runtime.images(runtime.input([batch, side, side, channels], 4), setting)
    inputs = [tensor.requires_grad_() for tensor in (x, gamma, beta)]

    def once():
        y = forward()
        return [y, *torch.autograd.grad(y, inputs, dy)]

    return Task(once, nhwc)


def energy_loss(logits, targets):
    """Liu et al. 2020, as its users compose it. The first `len(targets)` rows are in-distribution, the others outliers."""
    inside, outside = logits[: len(targets)], logits[len(targets) :]
    hinge_in = F.relu(-torch.logsumexp(inside, 1) - M_IN).square().mean()
    hinge_out = F.relu(M_OUT + torch.logsumexp(outside, 1)).square().mean()
    return F.cross_entropy(inside, targets) + LAMBDA * (hinge_in + hinge_out)


def energy_loss_task(runtime, setting, inCount, outCount, classes):
    count = inCount + outCount
    logits = runtime.tensor(scaled(count * classes, 1, 4), [count, classes]).requires_grad_()
    targets = runtime.tensor(labels(inCount, classes), [inCount])

    def once():
        loss = energy_loss(logits, targets)
        return [*torch.autograd.grad(loss, logits), loss]

    return Task(once)


def optimizer_of(parameters):
    return torch.optim.SGD(
        parameters, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )


def sgd(runtime, setting, size):
    w, gradient, velocity = (runtime.input([size], seed) for seed in (1, 2, 3))
    w.grad = gradient
    optimizer = optimizer_of([w])
    optimizer.state[w]['momentum_buffer'] = velocity

    def once():
        optimizer.step()
        return [w, velocity]

    return Task(once)


def step(runtime, setting, depth, width, classes, inCount, outCount, state):
    network = runtime.network(depth, width, classes, state, setting).train()
    images = runtime.images(runtime.tensor(normalised_images(inCount, outCount), [-1, 32, 32, 3]), setting)
    targets = runtime.tensor(labels(inCount, classes), [inCount])
    optimizer = optimizer_of(network.parameters())

    def once():
        with runtime.mixed_precision():
            logits = network(images)
        loss = energy_loss(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return [loss]

    class Step(Task):
        def outputs(self):
            loss = super().outputs()
            velocity = [optimizer.state[w]['momentum_buffer'].reshape(-1) for w in network.parameters()]
            return [*loss, torch.cat(velocity).cpu().numpy()]

    return Step(once)


def score(runtime, setting, depth, width, classes, batch, state):
    network = runtime.network(depth, width, classes, state, setting).eval()
    images = runtime.images(runtime.tensor(normalised_images(batch, 0), [-1, 32, 32, 3]), setting)

    def once():
        with torch.inference_mode(), runtime.mixed_precision():
            return [network(images).cpu()]

    return Task(once)


TASKS = {
    'copy': copy,
    'relu': relu,
    'matmul': matmul,
    'conv2d': conv2d,
    'batchNorm': batch_norm,
    'energyLoss': energy_loss_task,
    'sgd': sgd,
    'step': step,
    'score': score,
}
