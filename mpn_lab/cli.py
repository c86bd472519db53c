"""The command line: `mpn-lab tasks`, `mpn-lab train`, `mpn-lab evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import ValidationError

from mpn_lab.tasks.catalog import TaskDescription, describe_task, trainable_tasks
from mpn_lab.training.config import TrainConfig
from mpn_lab.training.files import RunError
from mpn_lab.training.loop import resume, train
from mpn_lab.training.run import load_run
