// Puts the page together and listens.
Bokeh.set_log_level('warn');

const FIRMS_SHOWN = 5;
const SHORTCUTS = { q: 'query', f: 'fine', u: 'unsure' };

/** The values of a column with how many lines hold each, by name. */
function tally(valuesOf) {
  const counts = new Map();
  for (const line of lines) {
    for (const value of valuesOf(line)) {
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
  }
  return [...counts].sort(([a], [b]) => collator.compare(a, b));
}

function fill(name, all, entries, text = (value) => isolated(value)) {
  byId(name).append(element('option', { value: '' }, all),
    ...entries.map(([value, number]) => element('option', { value }, `${text(value)} (${WHOLE.format(number)})`)));
}

function fillFilters() {
  fill('firm', 'All', tally((line) => [line.firm_name]));
  fill('type', 'All', tally((line) => [line.matter_type]));
  fill('resource', 'All', tally((line) => [line.resource]));
  fill('found', 'All', tally((line) => [line.found_by]), (value) => FOUND_BY_WORDS[value] ?? words(value));
  fill('reason', 'All', tally((line) => [...line.reasons]), (value) => {
    const [kind, name] = [value.slice(0, value.indexOf(':')), value.slice(value.indexOf(':') + 1)];
    return kind === 'rule' ? `Rule: ${words(name)}` : words(name);
  });
  byId('verdict').append(...[['', 'All'], ['none', 'Open'], ...Object.entries(VERDICT_WORDS)].map(
    ([value, text]) => element('option', { value }, text)));
  byId('sort').append(...Object.entries(ORDERS).map(([value, order]) => element('option', { value }, order.name)));
}

function showFirms(all) {
  const most = Math.max(...report.firms.map((firm) => firm.at_stake), 1e-9);
  const shown = all ? report.firms : report.firms.slice(0, FIRMS_SHOWN);
  byId('firms').replaceChildren(...shown.map((firm) => {
    const bar = element('span', { class: 'share', 'aria-hidden': 'true' });
    bar.style.inlineSize = `${(firm.at_stake / most) * 100}%`;
    const choose = element('button', { type: 'button', class: 'link', 'data-firm': firm.firm_name },
      element('span', { class: 'clamp' }, given(firm.firm_name)));
    return element('tr', { role: 'row' },
      element('td', { role: 'cell', class: 'firm-name' }, choose),
      element('td', { role: 'cell', class: 'firm-bar' }, element('span', { class: 'track' }, bar)),
      element('td', { role: 'cell', class: 'number' }, WHOLE.format(firm.flagged), element('small', null, `of ${WHOLE.format(firm.lines)}`)),
      element('td', { role: 'cell', class: 'number' }, MONEY.format(firm.at_stake)));
  }));
  const toggle = byId('all-firms');
  toggle.hidden = report.firms.length <= FIRMS_SHOWN;
  toggle.setAttribute('aria-expanded', String(all));
  toggle.textContent = all ? `Only the first ${FIRMS_SHOWN}` : `All ${count(report.firms.length, 'firm')}`;
}

function applyFilters() {
  for (const name of Object.keys(FILTERS)) {
    view.filters[name] = byId(name).value;
  }
  view.text = byId('text').value;
  choose();
  showList();
}

function listenToTools() {
  byId('tools').addEventListener('submit', (event) => event.preventDefault());
  byId('text').addEventListener('input', applyFilters);
  byId('filters').addEventListener('change', applyFilters);
  byId('clear').addEventListener('click', () => {
    byId('tools').reset();
    applyFilters();
    byId('text').focus();
  });
  byId('more-filters').addEventListener('click', (event) => {
    const isOpen = byId('filters').classList.toggle('is-open');
    event.currentTarget.setAttribute('aria-expanded', String(isOpen));
  });
  byId('sort').addEventListener('change', (event) => {
    orderBy(event.target.value);
    showList();
  });
  byId('direction').addEventListener('click', () => {
    orderBy(view.order);
    showList();
  });
  byId('head').addEventListener('click', (event) => {
    const { order } = event.target.closest('button')?.dataset ?? {};
    if (order) {
      orderBy(order);
      showList();
      byId('head').querySelector(`[data-order="${order}"]`).focus();
    }
  });
  byId('all-firms').addEventListener('click', (event) => showFirms(event.currentTarget.getAttribute('aria-expanded') === 'false'));
  byId('firms').addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button) {
      byId('firm').value = button.dataset.firm;
      applyFilters();
      byId('lines-heading').focus();
    }
  });
}

function listenToRows() {
  rows.addEventListener('click', (event) => {
    const number = Number(event.target.closest('tr')?.dataset.line);
    const line = view.shown.find((candidate) => candidate.line === number);
    if (line && getSelection().isCollapsed) {
      select(line);
      if (isNarrow.matches) {
        openDetail();
      } else {
        focusRow();
      }
    }
  });
  rows.addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = by && view.shown[view.shown.indexOf(view.selected) + by];
    if (by) {
      event.preventDefault();
    }
    if (next) {
      select(next);
      focusRow();
    }
  });
  byId('previous-page').addEventListener('click', () => turnPage(-1));
  byId('next-page').addEventListener('click', () => turnPage(1));
}

/** Single letters act only while a line or its details have the focus, and never while one writes. */
function listenToLetters() {
  byId('work').addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && document.body.classList.contains('is-open')) {
      closeDetail();
    } else if (event.key === 'Escape' && detail.contains(event.target)) {
      focusRow();
    }
    const isWriting = event.target.matches('textarea, select, input:not([type="radio"])');
    const isOnLine = rows.contains(event.target) || detail.contains(event.target);
    if (isWriting || !isOnLine || !view.selected || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const verdict = SHORTCUTS[event.key.toLowerCase()];
    if (verdict) {
      giveVerdict(view.selected, verdict);
    } else if (event.key.toLowerCase() === 'n') {
      event.preventDefault(); // the letter would be the first of the note
      if (isNarrow.matches) {
        openDetail();
      }
      byId('note').focus();
    }
  });
}

function listenToSurroundings() {
  byId('download').addEventListener('click', downloadVerdicts);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawCharts);
  isNarrow.addEventListener('change', closeDetail);
  addEventListener('beforeprint', () => setPrinting(true));
  addEventListener('afterprint', () => setPrinting(false));
  matchMedia('print').addEventListener('change', (event) => setPrinting(event.matches));
  listenToStorage(() => {
    showGiven();
    showRows();
    showDetail();
  });
}

recallVerdicts();
fillFilters();
showFirms(false);
choose();
showGiven();
showList();
showChosen();
listenToTools();
listenToRows();
listenToLetters();
listenToSurroundings();
