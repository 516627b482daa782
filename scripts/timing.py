"""onnxruntime on one thread, timed as the engine is, and the machine's name: for the scripts that compare both."""
import platform
import time

import numpy as np
import onnxruntime

TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Runtime:
    """A model in onnxruntime, its inputs and outputs bound beforehand."""

    def __init__(self, model, feed):
        self.session = session(model)
        self.binding = self.session.io_binding()
        for port in self.session.get_inputs():
            self.binding.bind_cpu_input(port.name, np.ascontiguousarray(feed[port.name].astype(TYPES[port.type])))
        for port in self.session.get_outputs():
            self.binding.bind_output(port.name)

    def nanoseconds(self):
        """The least of many runs, in this thread's processor time, as the engine's are measured."""
        run, least, started, rounds = self.session.run_with_iobinding, float("inf"), time.monotonic(), 0
        run(self.binding)
        while rounds < 5 or (time.monotonic() - started < 0.06 and rounds < 2000):
            batch = 50 if least < 20_000 else 1
            before = time.thread_time_ns()
            for _ in range(batch):
                run(self.binding)
            least = min(least, (time.thread_time_ns() - before) / batch)
            rounds += 1
        return least


def machine():
    """What this machine's processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
