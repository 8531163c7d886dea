"""One score out of the forest's and the rules' hits, without any label.

Both are put on one scale, surprise: the negative logarithm of the share of lines that are at least so suspicious. For
the model that is the share of lines that score at least as high, T; for a rule the share of lines that it hits, S. A
rule that hits many lines is no surprise and loses its weight by itself. A line's score is max(T, S) + 0.25 * min(T, S),
S being that of the rarest rule that hits it: the stronger finding decides, and a second opinion lifts it.
docs/quality.md compares it with simpler sums.
"""

from dataclasses import dataclass

import numpy as np

SECOND_OPINION = 0.25


@dataclass(frozen=True)
class Reference:
    """What surprise is measured against: the scores of the validation lines, ascending, and the share of lines that
    each rule hits."""

    model_scores: np.ndarray
    shares: dict[str, float]

    @classmethod
    def of(cls, model_scores: np.ndarray, hits: dict[str, np.ndarray], ranking: list[str]) -> "Reference":
        shares = {name: float(hit.mean()) for name, hit in hits.items() if name in ranking}
        return cls(np.sort(model_scores), shares)

    def model_surprise(self, model_scores: np.ndarray) -> np.ndarray:
        """T of each score; above the highest reference score it is that of the highest."""
        at_least = len(self.model_scores) - np.searchsorted(self.model_scores, model_scores, side="left")
        return -np.log(np.maximum(at_least, 1) / len(self.model_scores))

    def rule_surprise(self, hits: dict[str, np.ndarray]) -> np.ndarray:
        """S of each line; 0 where no ranking rule hits. A rule that never hit before surprises like one hit would."""
        lines = len(next(iter(hits.values()))) if hits else 0
        surprise = np.zeros(lines)
        for name, share in self.shares.items():
            told = -np.log(max(share, 1 / len(self.model_scores)))
            surprise = np.maximum(surprise, np.where(hits[name], told, 0.0))
        return surprise

    def score(self, model_scores: np.ndarray, hits: dict[str, np.ndarray]) -> np.ndarray:
        model = self.model_surprise(model_scores)
        rules = self.rule_surprise(hits) if hits else np.zeros(len(model_scores))
        return np.maximum(model, rules) + SECOND_OPINION * np.minimum(model, rules)
