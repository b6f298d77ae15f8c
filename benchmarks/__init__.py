"""What GBX costs beside its peers, as ratios within one run on this machine; ``make bench`` runs it.

Thread pools read their size when they are loaded, so it is set here, before anything else is imported: one thread
each, for ours and for the peers, which inherit the environment.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "GBX_THREADS"):
    os.environ[_name] = "1"
# A machine may force an old BLAS kernel for old programs; every side is timed with the one its numpy chooses.
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)
