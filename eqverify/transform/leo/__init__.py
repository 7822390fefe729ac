"""LEO's five rewrites (Serra, Kumar, Ramalingam 2020, arXiv 2001.00218), one file each.

Importing this package registers them.
"""

from eqverify.transform.leo.collapse import CollapseConstant
from eqverify.transform.leo.dead import DropDead
from eqverify.transform.leo.fold import FoldStable
from eqverify.transform.leo.inactive import RemoveInactive
from eqverify.transform.leo.merge import MergeDependent

__all__ = ["CollapseConstant", "DropDead", "FoldStable", "MergeDependent", "RemoveInactive"]
