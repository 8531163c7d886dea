// The table of lines: one page of rows at a time, all of them on paper.
const rows = byId('rows');
const rowOf = new Map(); // line number -> its row, while it is in the document
let isPrinting = false;

const HEAD = [
  { text: 'Line', order: 'line', class: 'line' },
  { text: 'Firm and matter', order: 'firm', class: 'firm' },
  { text: 'Why', class: 'why' },
  { text: 'Billed', order: 'total', class: 'number billed' },
  { text: 'At stake', order: 'at_stake', class: 'number stake-cell' },
  { text: 'Score', order: 'score', class: 'number score' },
  { text: 'Verdict', class: 'verdict-cell' },
];

function showHead() {
  byId('head').replaceChildren(...HEAD.map((column) => {
    const isSorted = column.order === view.order;
    const head = element('th', {
      role: 'columnheader', scope: 'col', class: column.class, 'aria-sort': column.order && (isSorted ? view.direction : 'none'),
    });
    if (!column.order) {
      head.append(column.text);
      return head;
    }
    const arrow = { ascending: '↑', descending: '↓' }[isSorted ? view.direction : ''] ?? '↕';
    const button = element('button', { type: 'button', 'data-order': column.order }, column.text,
      element('span', { 'aria-hidden': 'true', class: 'arrow' }, arrow));
    head.append(button);
    return head;
  }));
  byId('sort').value = view.order;
  byId('direction').textContent = view.direction === 'ascending' ? '↑ Rising' : '↓ Falling';
  byId('direction').hidden = view.order === 'rank';
}

function badge(line) {
  const verdict = verdictOf(line.line);
  const note = noteOf(line.line);
  return [
    element('span', { class: `badge ${verdict ?? 'open'}` }, verdict ? VERDICT_WORDS[verdict] : 'Open'),
    note ? element('span', { class: 'has-note' }, element('span', { class: 'quiet' }, 'with a note'), '✎') : null,
    note ? element('span', { class: 'on-paper' }, given(note)) : null,
  ].filter(Boolean);
}

function row(line) {
  const isSelected = line === view.selected;
  const select = element('button', { type: 'button', class: 'select', 'aria-current': isSelected ? 'true' : 'false' },
    element('span', { class: 'quiet' }, 'Line '), String(line.line));
  const made = element('tr', { role: 'row', class: isSelected ? 'selected' : null, 'data-line': line.line });
  const cell = (name, ...children) => made.append(element('td', { role: 'cell', class: name }, ...children));
  cell('line', select);
  cell('firm', element('span', { class: 'clamp' }, given(line.firm_name)),
    element('small', { class: 'clamp' }, 'Matter ', given(line.matter_number)));
  cell('why', element('span', { class: 'clamp' }, given(line.reason)),
    element('small', { class: 'clamp' }, given(line.resource), ', ', given(line.activity), ', ', given(line.matter_type)));
  cell('number billed', MONEY.format(line.total), element('small', null, `${NUMBER.format(line.minutes)} min at ${NUMBER.format(line.fee)}`));
  cell('number stake-cell', element('b', null, MONEY.format(line.at_stake)));
  cell('number score', score(line.score));
  cell('verdict-cell', ...badge(line));
  rowOf.set(line.line, made);
  return made;
}

function showRows() {
  const shown = isPrinting ? view.shown : shownPage();
  rowOf.clear();
  rows.replaceChildren(...shown.map(row));
  byId('none').hidden = view.shown.length > 0;
  byId('none').textContent = lines.length ? 'No line matches these filters.' : 'No line is flagged.';
  byId('page').textContent = `Page ${view.page + 1} of ${pages()}`;
  byId('previous-page').disabled = view.page === 0;
  byId('next-page').disabled = view.page >= pages() - 1;
  document.querySelector('.pages').hidden = pages() === 1;
}

function showRowAnswer(line) {
  rowOf.get(line.line)?.querySelector('.verdict-cell').replaceChildren(...badge(line));
}

function showCount() {
  const stake = view.shown.reduce((sum, line) => sum + line.at_stake, 0);
  const all = count(lines.length, 'line');
  const some = isFiltered() ? `${WHOLE.format(view.shown.length)} of ${all}` : all;
  byId('count').textContent = `${some}, ${MONEY.format(stake)} at stake`;
  byId('clear').hidden = !isFiltered();
}

function showGiven() {
  const number = verdictsGiven();
  byId('given').textContent = `${WHOLE.format(number)} of ${count(lines.length, 'line')} ${lines.length === 1 ? 'has' : 'have'} a verdict`;
  byId('progress').value = number;
  byId('progress').max = Math.max(1, lines.length);
  byId('download').disabled = number === 0;
}

/** After a change of filter or order: the first page, and a selection that is still in it. */
function showList() {
  showHead();
  showRows();
  showCount();
  if (!view.shown.includes(view.selected)) {
    select(view.shown[0] ?? null);
  } else {
    showDetail();
  }
}

function select(line) {
  const before = view.selected;
  view.selected = line;
  const place = line ? view.shown.indexOf(line) : -1;
  const page = Math.floor(place / PAGE_ROWS);
  if (place >= 0 && page !== view.page) {
    view.page = page;
    showRows();
  } else {
    for (const [changed, isSelected] of [[before, false], [line, true]]) {
      const found = changed && rowOf.get(changed.line);
      found?.classList.toggle('selected', isSelected);
      found?.querySelector('.select').setAttribute('aria-current', String(isSelected));
    }
  }
  showDetail();
}

function focusRow() {
  const found = view.selected && rowOf.get(view.selected.line);
  found?.querySelector('.select').focus({ preventScroll: true });
  found?.scrollIntoView({ block: 'nearest' });
}

function turnPage(by) {
  view.page += by;
  showRows();
  byId('lines-heading').scrollIntoView({ block: 'start' });
  say(byId('page').textContent);
}

function setPrinting(value) {
  if (isPrinting !== value) {
    isPrinting = value;
    showRows();
  }
}
