#!/usr/bin/env bash
# MXNet 1.9.1: a learning_rate given beside a CosineScheduler or PolyScheduler is ignored, and said to be obeyed.
#
# Seen on 2026-11-28 with Python 3.11, mxnet 1.9.1, numpy 1.23.5 on x86-64 Linux.
#
# Guess: the optimizer's documentation says of learning_rate: "If not None, it will overwrite the learning rate in
# lr_scheduler", and a message on stdout says that this has been done. So the first step is one of 0.5 with every
# schedule.
# Really: the optimizer sets base_lr of the schedule. FactorScheduler and MultiFactorScheduler start from that;
# CosineScheduler and PolyScheduler start from a copy that they made when they were constructed, by default 0.01, and
# overwrite base_lr at the first update. Training runs at a fiftieth of the rate that was asked for, after the message
# that it would not. Issue 1350 of dmlc/gluon-cv is of the same mechanism in another class; none in apache/mxnet found.
#
# Output seen:
#   learning rate from ``lr_scheduler`` has been overwritten by ``learning_rate`` in optimizer.
#   FactorScheduler:      learning_rate=0.5, the first step is 0.5000
#   learning rate from ``lr_scheduler`` has been overwritten by ``learning_rate`` in optimizer.
#   MultiFactorScheduler: learning_rate=0.5, the first step is 0.5000
#   learning rate from ``lr_scheduler`` has been overwritten by ``learning_rate`` in optimizer.
#   CosineScheduler:      learning_rate=0.5, the first step is 0.0100
#   learning rate from ``lr_scheduler`` has been overwritten by ``learning_rate`` in optimizer.
#   PolyScheduler:        learning_rate=0.5, the first step is 0.0100
#
# Exits 0 while this is so, 1 when it has changed, 3 where the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
{ "${PYTHON:-python3}" -m venv venv && venv/bin/pip install -q mxnet==1.9.1 numpy==1.23.5; } >install.log 2>&1 || {
    cat install.log; echo "needs Python 3.8 to 3.11 (set PYTHON)"; exit 3; }
cat > rates.py <<'PY'
import sys

import mxnet as mx

UPDATES = 1000
SCHEDULES = (mx.lr_scheduler.FactorScheduler(UPDATES), mx.lr_scheduler.MultiFactorScheduler([UPDATES]),
             mx.lr_scheduler.CosineScheduler(UPDATES), mx.lr_scheduler.PolyScheduler(UPDATES))
steps = []
for schedule in SCHEDULES:
    optimizer = mx.optimizer.create("sgd", learning_rate=0.5, lr_scheduler=schedule)
    weight = mx.nd.zeros(1)
    optimizer.update(0, weight, mx.nd.ones(1), optimizer.create_state(0, weight))
    steps.append(-float(weight.asscalar()))
    print("%-21s learning_rate=0.5, the first step is %.4f" % (type(schedule).__name__ + ":", steps[-1]))
wanted = 0.5, 0.5, 0.01, 0.01
sys.exit(0 if all(abs(step / rate - 1) < 0.01 for step, rate in zip(steps, wanted)) else 1)
PY
OMP_NUM_THREADS=1 venv/bin/python -W ignore rates.py 2>errors.log || { code=$?; tail -5 errors.log; exit $code; }
