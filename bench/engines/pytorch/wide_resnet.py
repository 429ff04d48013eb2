"""A WideResNet (Zagoruyko & Komodakis 2016) of nn modules, whose state dict has the names and the order of energate's."""

import torch
import torch.nn.functional as F
from torch import nn


def conv(in_channels, out_channels, kernel, stride):
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=(kernel - 1) // 2, bias=False)


class Block(nn.Module):
    """Pre-activation; where channels change, the shortcut is a 1x1 convolution of the activated input."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, out_channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, 1)
        self.convShortcut = conv(in_channels, out_channels, 1, stride) if in_channels != out_channels else None

    def forward(self, x):
        activated = F.relu(self.bn1(x), inplace=True)
        hidden = F.relu(self.bn2(self.conv1(activated)), inplace=True)
        return self.conv2(hidden) + (self.convShortcut(activated) if self.convShortcut else x)


class Group(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, depth, width, classes):
        super().__init__()
        self.conv1 = conv(3, 16, 3, 1)
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.block1, self.block2, self.block3 = (
            Group(
                Block(channels[group] if i == 0 else channels[group + 1], channels[group + 1], 2 if group and not i else 1)
                for i in range((depth - 4) // 6)
            )
            for group in range(3)
        )
        self.bn1 = nn.BatchNorm2d(channels[3])
        self.fc = nn.Linear(channels[3], classes)

    def forward(self, images):
        """Logits of [batch, 3, 32, 32]."""
        x = self.block3(self.block2(self.block1(self.conv1(images))))
        return self.fc(F.relu(self.bn1(x), inplace=True).mean((2, 3)))

    def load(self, values):
        """All of the state, as one flat float32 array in the state dict's order, without num_batches_tracked."""
        at = 0
        for name, tensor in self.state_dict().items():
            if name.endswith('num_batches_tracked'):
                continue
            tensor.copy_(torch.from_numpy(values[at : at + tensor.numel()]).reshape(tensor.shape))
            at += tensor.numel()
        if at != len(values):
            raise ValueError(f'{len(values)} numbers of state, but the network has {at}')
