"""Make ``import accnn`` work in a script that was started by its file name or imported from its folder.

The folder of the scripts holds ``accnn.py``; were it searched first, ``import accnn`` would find that script and not
the package. So its parent comes first, and the folder itself goes when a script of it is what Python runs.
"""
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_STARTED = os.path.abspath(getattr(sys.modules["__main__"], "__file__", "") or "")

if os.path.dirname(_STARTED) == _HERE:
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != _HERE]
    sys.path.append(_HERE)
sys.path.insert(0, os.path.dirname(_HERE))
