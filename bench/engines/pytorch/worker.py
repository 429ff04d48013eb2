"""
PyTorch in a process of its own: `worker.py ENGINE`, the counterpart of bench/worker.ts. Requests and replies are lines of JSON
on the channel that Node opens for its child processes; arrays are float32 in base64.
"""

import base64
import gc
import json
import os
import socket
import sys
import time

# Results longer than this are compared in part, as in compare.ts.
COMPARED = 2**22


class Worker:
    def __init__(self, engine):
        self.engine = engine
        self.task = None

    def open(self):
        try:
            import torch  # noqa: F401
            import tasks
        except ImportError as error:
            raise RuntimeError(f'{sys.executable} has no PyTorch ({error}); name a Python that has by --python') from None
        self.tasks = tasks
        self.runtime = tasks.Runtime(autocast=self.engine == 'torch-autocast')
        # Half the bits are another ceiling; so is another chip.
        apart = self.runtime.autocast or self.runtime.device.type != 'cuda'
        return {'version': self.runtime.version(), 'apart': apart, 'arithmetic': self.runtime.arithmetic()}

    def settings(self, work):
        return self.tasks.settings(self.runtime, work['kind'])

    def prepare(self, work, setting, state=None):
        import numpy as np

        parameters = dict(work['parameters'])
        if state is not None:
            # A copy, since PyTorch warns of memory that it may not write.
            parameters['state'] = np.frombuffer(base64.b64decode(state), np.float32).copy()
        self.task = self.tasks.TASKS[work['kind']](self.runtime, setting, **parameters)

    def outputs(self):
        return [base64.b64encode(sample(values).tobytes()).decode() for values in self.task.outputs()]

    def run(self, times):
        """Milliseconds."""
        start = time.perf_counter()
        for _ in range(times):
            self.task.once()
        self.runtime.finish()
        return (time.perf_counter() - start) * 1000

    def count(self):
        """Nothing of what is counted of the others is to be seen from outside."""

    def dispose(self):
        import torch

        self.task = None
        gc.collect()
        # The card belongs to the next engine.
        torch.cuda.empty_cache()


def sample(values):
    if len(values) <= COMPARED:
        return values
    return values[:: -(-len(values) // COMPARED) | 1]


def main():
    channel = socket.socket(fileno=int(os.environ['NODE_CHANNEL_FD']))
    channel.setblocking(True)
    worker = Worker(sys.argv[1])
    with channel.makefile('r', encoding='utf8') as requests, channel.makefile('w', encoding='utf8') as replies:
        for line in requests:
            request = json.loads(line)
            try:
                reply = {'result': getattr(worker, request.pop('method'))(**request)}
            except Exception as error:
                reply = {'error': (str(error) or type(error).__name__).split('\n')[0]}
            replies.write(json.dumps(reply) + '\n')
            replies.flush()


main()
