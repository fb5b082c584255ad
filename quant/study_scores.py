"""What a study's network is trained to lower, and what it is scored by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from quant.loss import LossWeights, best_boxes, box_iou, detection_loss
from quant.network import normalise
from quant.study_network import StudyNetwork
from quant.study_tasks import Task

BATCH = 128
WEIGHTS = LossWeights()


def criterion(head: Tensor, targets: Tensor, task: Task) -> Tensor:
    """The training loss of a batch's head maps (B, C, h, w)."""
    if task.kind == "classify":
        return functional.cross_entropy(head.mean((2, 3)), targets)
    return detection_loss(head, targets, task.anchors, WEIGHTS)["total"]


def score(network: StudyNetwork, task: Task) -> float:
    """Accuracy, or mean IoU of the single best box, on images that were not trained on; 0 to 1.

    A head whose values are no numbers finds nothing.
    """
    network.eval()
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(task.test_images), BATCH):
            part = slice(first, first + BATCH)
            head = network(normalise(torch.from_numpy(task.test_images[part])))
            targets = torch.from_numpy(task.test_targets[part])
            total += _found(head, targets, task).nan_to_num(0.0).sum().item()
    return total / len(task.test_images)


def _found(head: Tensor, targets: Tensor, task: Task) -> Tensor:
    """How well each image was done, (B,)."""
    if task.kind == "classify":
        return (head.mean((2, 3)).argmax(1) == targets).float()
    return box_iou(best_boxes(head, task.anchors).clamp(0, 1), targets)[0]
