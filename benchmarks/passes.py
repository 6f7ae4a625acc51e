"""How often Streamlit's front end goes through a page in a move, and how many of its components it draws.

Neither depends on the machine: React tells of each pass when a page was opened with `SCRIPT`, the way its developers'
tools are told, and `counted` says how many components were drawn in each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SCRIPT = """(() => {
  const COMPONENTS = [0, 1, 11, 14, 15], DRAWN = 1;  // React's numbers: tags of functions and classes, a flag
  const count = (now, before) => {
    const known = new Set();
    for (let child = before; child; child = child.sibling) known.add(child);
    let found = 0;
    for (let child = now; child; child = child.sibling) {
      if (known.has(child)) continue;
      const old = known.has(child.alternate) ? child.alternate : null;
      if (COMPONENTS.includes(child.tag) && (!old || child.flags & DRAWN)) found += 1;
      if (child.child !== old?.child) found += count(child.child, old?.child);
    }
    return found;
  };
  window.passes = null;
  const nothing = () => {};
  window.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
    renderers: new Map(), supportsFiber: true, inject: () => 1, checkDCE: nothing,
    onCommitFiberUnmount: nothing, onPostCommitFiberRoot: nothing,
    onCommitFiberRoot(_, {current}) {
      if (window.passes && current.alternate) window.passes.push(count(current.child, current.alternate.child));
    },
  };
})()"""
"""Before the page's own scripts run."""
WHOLE = 150
"""Components; what draws as many is no control that follows its own hand."""


def counted(page: Any, act: Callable[[], Any]) -> list[int]:
    """Components that were drawn, pass by pass, while something was done and until it had come to rest."""
    page.evaluate("() => { window.passes = []; }")
    act()
    passes = page.evaluate("() => { const told = window.passes; window.passes = null; return told; }")
    return [int(components) for components in passes if components]


def whole(passes: list[int]) -> int:
    """How many of the passes went through the page."""
    return sum(components > WHOLE for components in passes)
