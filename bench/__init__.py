"""Scripts that measure; numpy computes in one thread, as it does where `causeway.seams` loads it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - before anything here imports numpy
