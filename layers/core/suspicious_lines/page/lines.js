// Which lines are shown, and in which order.
const PAGE_ROWS = 50;
const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** `key` reads the value to sort by; `first` is the direction a first click gives. */
const ORDERS = {
  rank: { name: 'Worst first', key: (line) => line.rank, first: 'ascending' },
  score: { name: 'Score', key: (line) => line.score, first: 'descending' },
  at_stake: { name: 'At stake', key: (line) => line.at_stake, first: 'descending' },
  total: { name: 'Billed', key: (line) => line.total, first: 'descending' },
  minutes: { name: 'Minutes', key: (line) => line.minutes, first: 'descending' },
  fee: { name: 'Rate', key: (line) => line.fee, first: 'descending' },
  line: { name: 'Line', key: (line) => line.line, first: 'ascending' },
  firm: { name: 'Firm', key: (line) => line.firm_name, first: 'ascending' },
  matter: { name: 'Matter', key: (line) => line.matter_number, first: 'ascending' },
};

/** Each filter: whether a line passes the chosen value. */
const FILTERS = {
  firm: (line, value) => line.firm_name === value,
  type: (line, value) => line.matter_type === value,
  resource: (line, value) => line.resource === value,
  reason: (line, value) => line.reasons.has(value),
  found: (line, value) => line.found_by === value,
  verdict: (line, value) => (verdictOf(line.line) ?? 'none') === value,
};

const view = {
  filters: Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ''])),
  text: '',
  order: 'rank',
  direction: 'ascending',
  page: 0,
  shown: [], // the lines that pass the filters, in order
  selected: null,
};

const lines = report.lines.map((line, rank) => ({
  ...line,
  rank,
  reasons: new Set([...line.rules.map((rule) => `rule:${rule}`), ...(line.field ? [`field:${line.field}`] : [])]),
  haystack: [
    line.line, line.matter_number, line.firm_name, line.matter_type, line.resource, line.activity, line.reason, ...line.rules,
  ].join('\n').toLowerCase(),
}));

function choose() {
  const terms = view.text.toLowerCase().split(/\s+/).filter(Boolean);
  const active = Object.entries(view.filters).filter(([, value]) => value !== '');
  view.shown = lines.filter((line) =>
    terms.every((term) => line.haystack.includes(term)) && active.every(([name, value]) => FILTERS[name](line, value)));
  sortShown();
}

function sortShown() {
  const { key } = ORDERS[view.order];
  const sign = view.direction === 'ascending' ? 1 : -1;
  const compare = (a, b) => (typeof a === 'number' ? a - b : collator.compare(a, b));
  view.shown.sort((a, b) => sign * compare(key(a), key(b)) || a.rank - b.rank);
  view.page = 0;
}

/** Choosing the order in use turns it round. */
function orderBy(name) {
  const isSame = view.order === name;
  const turned = view.direction === 'ascending' ? 'descending' : 'ascending';
  view.direction = isSame ? turned : ORDERS[name].first;
  view.order = name;
  sortShown();
}

const pages = () => Math.max(1, Math.ceil(view.shown.length / PAGE_ROWS));
const shownPage = () => view.shown.slice(view.page * PAGE_ROWS, (view.page + 1) * PAGE_ROWS);
const isFiltered = () => view.text.trim() !== '' || Object.values(view.filters).some((value) => value !== '');
