"""Reducing, for models and inputs of any kind."""

from __future__ import annotations

from eqverify.api.jobs import on_problems
from eqverify.reduction import boxes, directed, pipeline

reduce = on_problems(pipeline.reduce, smooth=True)
reduce_per_box = on_problems(boxes.reduce_per_box)
reduce_for_property = on_problems(directed.reduce_for_property)
