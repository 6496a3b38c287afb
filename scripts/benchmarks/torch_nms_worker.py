"""torchvision.ops.nms, one image after the other, for nms.py; in an interpreter that has it.

Reads a JSON line {"row", "threads", "threshold"} from standard input and writes {"seconds",
"cpu_seconds", "kept"}; between two lines it waits and uses no processor.
Usage: torch_nms_worker.py FOLDER, with FOLDER/<row>.npz holding boxes and scores.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torchvision


def main() -> None:
    version = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps(version), flush=True)
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        arrays = np.load(folder / f"{request['row']}.npz")
        boxes, scores = torch.tensor(arrays["boxes"]), torch.tensor(arrays["scores"])
        begin, cpu = time.perf_counter(), time.process_time()
        kept = [
            torchvision.ops.nms(boxes[image], scores[image], request["threshold"])
            for image in range(len(boxes))
        ]
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        answer = {"seconds": seconds, "cpu_seconds": cpu, "kept": [len(each) for each in kept]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
