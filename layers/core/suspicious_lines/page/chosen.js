// How the lines were chosen: the scores with the threshold, and how far to trust them.

/** `0.75 (0.70 to 0.80)` in percent; null where it is not known. */
function proportion(share, interval) {
  if (typeof share !== 'number') {
    return null;
  }
  const within = interval ? ` (${PERCENT.format(interval[0])} to ${PERCENT.format(interval[1])})` : '';
  return `${PERCENT.format(share)}${within}`;
}

function smallTable(caption, header, rows) {
  return element('table', { class: 'small' }, element('caption', null, caption),
    element('thead', null, element('tr', null,
      ...header.map((name, i) => element('th', { scope: 'col', class: i ? 'number' : null }, name)))),
    element('tbody', null, ...rows.map(([first, ...rest]) => element('tr', null,
      element('th', { scope: 'row' }, first), ...rest.map((text) => element('td', { class: 'number' }, text))))));
}

/** Who found the lines, and what the self-test's planted errors tell. */
function trustTables({ found_by: foundBy = {}, self_test: planted = {}, held_out: heldOut = null }) {
  const tables = [];
  const finders = Object.entries(foundBy);
  if (finders.length) {
    const known = finders.some(([, found]) => found.errors !== null);
    tables.push(smallTable('Who found the lines', ['Found by', 'Lines', ...(known ? ['Known errors'] : [])],
      finders.map(([name, found]) => [FOUND_BY_WORDS[name] ?? words(name), WHOLE.format(found.lines),
        ...(known ? [WHOLE.format(found.errors ?? 0)] : [])])));
  }
  if (heldOut) {
    const shares = [
      ['Flagged lines that are errors (precision)', proportion(heldOut.precision, heldOut.precision_interval)],
      ['Errors that are flagged (recall)', proportion(heldOut.recall, heldOut.recall_interval)],
    ].filter(([, text]) => text);
    tables.push(smallTable('On lines the threshold was not chosen on', ['Measure', 'Share (95% interval)'], shares));
  }
  const kinds = Object.entries(planted);
  if (kinds.length) {
    tables.push(smallTable('Self-test: errors planted in copies of these lines', ['Kind', 'Planted', 'Caught'],
      kinds.map(([kind, test]) => [words(kind), WHOLE.format(test.planted), WHOLE.format(test.caught)])));
  }
  return tables;
}

function scoresFigure({ metrics, score_histogram: histogram }) {
  const threshold = metrics.threshold.value;
  const picture = figure({
    title: 'Scores of all lines',
    says: `${count(metrics.lines_validation, 'line')} by score. From the threshold, ${score(threshold)}, a line is flagged.`,
    header: ['Score', 'Lines'],
    rows: binRows(histogram, score),
  });
  draw(picture.host, () => scoresPlot(histogram, threshold));
  return picture.node;
}

function curveFigure({ metrics, precision_recall: curve }) {
  const { precision, recall } = metrics;
  const here = typeof precision === 'number' && typeof recall === 'number' ? [recall, precision] : null;
  const step = Math.ceil(curve.length / 20);
  const picture = figure({
    title: 'Precision and recall',
    says: here
      ? `At the threshold (the dot) ${PERCENT.format(precision)} of the flagged lines with a label are errors, and ${PERCENT.format(recall)} of the known errors are flagged.`
      : 'What a stricter or looser threshold would find among the labelled lines.',
    header: ['Recall', 'Precision', 'Score'],
    rows: curve.filter((_, i) => i % step === 0).map(([x, y, at]) => [x.toFixed(3), y.toFixed(3), score(at)]),
  });
  draw(picture.host, () => curvePlot(curve, here));
  return picture.node;
}

function showChosen() {
  const pictures = byId('pictures');
  if (report.score_histogram.counts.length) {
    pictures.append(scoresFigure(report));
  }
  if (report.precision_recall?.length) {
    pictures.append(curveFigure(report));
  }
  const tables = trustTables(report.metrics);
  if (tables.length) {
    pictures.append(element('div', { class: 'tables' }, ...tables));
  }
}
