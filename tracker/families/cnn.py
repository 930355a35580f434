"""The family of convolutional networks, over images and sequences; each run alone."""

from __future__ import annotations

from tracker.families.solo import ShapedFamily
from tracker.standalone import cnn

FAMILY = ShapedFamily("cnn", cnn.network, cnn.fault, cnn.ROWS_AT_ONCE)
