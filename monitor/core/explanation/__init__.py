"""Everything that is known of a container or of a node, in the order in which it was asked.

What an explanation says is made of what the judgement looks at, and of nothing else: of each policy
the three meanings of its selector (what its reader expects, what KubeArmor's newest release does,
what the release on the node did with it), the trail of questions up to the one that decided, and
what to do. A member of the report keeps its name and meaning here.
"""

from monitor.core.explanation.explainer import Explainer
from monitor.core.explanation.nodes import NodeExplainer
from monitor.core.explanation.values import (
    ContainerExplanation,
    Knowledge,
    Meanings,
    NodeExplanation,
    OtherPolicy,
    PairExplanation,
    Prediction,
    Question,
    Step,
    Told,
)

__all__ = [
    "ContainerExplanation",
    "Explainer",
    "Knowledge",
    "Meanings",
    "NodeExplainer",
    "NodeExplanation",
    "OtherPolicy",
    "PairExplanation",
    "Prediction",
    "Question",
    "Step",
    "Told",
]
