"""Why a line stands out, in a sentence that a reviewer can forward to the firm."""

import numpy as np
import pandas as pd

from suspicious_lines.encoder import NUMERIC_FEATURES, Encoder


def reasons(encoder: Encoder, lines: pd.DataFrame) -> list[str]:
    """One sentence a line: the number furthest from its peers in spreads, with what is usual there."""
    encoded = np.abs(encoder.encode(lines)[:, : len(NUMERIC_FEATURES)])
    furthest = encoded.argmax(axis=1) if len(lines) else np.array([], dtype=int)
    usual_minutes, usual_fees = (np.expm1(groups.of(lines)[:, 3:5]) for groups in (encoder.minutes, encoder.fee))
    sentences = []
    for line, which, minutes, fee in zip(
        lines.itertuples(index=False), furthest, usual_minutes, usual_fees, strict=True
    ):
        if which == 0:
            who = f"{line.resource}, {line.activity}, {line.matter_type}"
            sentences.append(f"{line.minutes:g} minutes; usual for {who}: {minutes[0]:.0f} to {minutes[1]:.0f}")
        elif which == 1:
            sentences.append(f"rate of {line.fee:,.2f}; usual for {line.resource}: {fee[0]:,.2f} to {fee[1]:,.2f}")
        else:
            due = line.minutes / 60 * line.fee
            sentences.append(f"total of {line.total:,.2f}; {line.minutes:g} minutes at {line.fee:,.2f} make {due:,.2f}")
    return sentences
