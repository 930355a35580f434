"""The family of recurrent networks (LSTM, GRU), over sequences and the rows of images; each run alone."""

from __future__ import annotations

from tracker.families.solo import ShapedFamily
from tracker.standalone import rnn

FAMILY = ShapedFamily("rnn", rnn.network, None, rnn.ROWS_AT_ONCE)
