// The selected line: what is wrong with it, its peers, and the reviewer's verdict.
const detail = byId('detail');
const isNarrow = matchMedia('(max-width: 999px)');
let peersHost = null;

const NUMBER_FIELDS = ['minutes', 'fee'];

function fact(name, value) {
  return value === null ? null : element('div', null, element('dt', null, name), element('dd', null, value));
}

function factsOf(line) {
  const label = { true: 'Error', false: 'Fine' }[line.error] ?? null;
  return element('dl', { class: 'facts' },
    fact('Firm', given(line.firm_name)),
    fact('Matter', given(line.matter_number)),
    fact('Matter type', given(line.matter_type)),
    fact('Activity', given(line.activity)),
    fact('Resource', given(line.resource)),
    fact('Minutes', NUMBER.format(line.minutes)),
    fact('Rate an hour', MONEY.format(line.fee)),
    fact('Total', MONEY.format(line.total)),
    fact('Score', score(line.score)),
    fact('Found by', FOUND_BY_WORDS[line.found_by] ?? words(line.found_by)),
    fact('Rules', line.rules.length ? line.rules.map(words).join(', ') : null),
    fact('Label in the upload', label));
}

function sharesOf(line) {
  const shares = Object.entries(line.shares).sort(([, a], [, b]) => b - a);
  if (!shares.length) {
    return null;
  }
  return element('section', { class: 'shares', 'aria-labelledby': 'shares-heading' },
    element('h3', { id: 'shares-heading' }, 'What makes it stand out'),
    element('ul', null, ...shares.map(([field, share]) => {
      const bar = element('span', { class: 'share', 'aria-hidden': 'true' });
      bar.style.inlineSize = `${Math.min(1, Math.max(0, share)) * 100}%`;
      return element('li', null, element('span', null, words(field)), element('span', { class: 'track' }, bar),
        element('span', { class: 'number' }, PERCENT.format(share)));
    })));
}

/** The line among its peers; a switch where both minutes and rate are known. */
function peersOf(line) {
  const peers = report.peers[line.peers];
  const fields = NUMBER_FIELDS.filter((field) => peers?.[field]?.counts.length);
  const box = element('section', { class: 'peers', 'aria-label': 'Its peers' });
  if (!fields.length) {
    box.append(element('p', { class: 'empty' }, 'There are no peers to compare this line with.'));
    return box;
  }
  const place = element('div');
  const show = (field) => {
    forgetPeers();
    const picture = figure(peersWords(line, peers, field));
    place.replaceChildren(picture.node);
    peersHost = picture.host;
    draw(picture.host, () => peersPlot(field, peers[field], expectedOf(line, peers, field), line[field]));
  };
  const first = fields.includes(line.field) ? line.field : fields[0];
  if (fields.length > 1) {
    box.append(choice('peers-field', 'Compare', fields.map((field) => [field, words(field)]), first, show));
  }
  box.append(place);
  show(first);
  return box;
}

function forgetPeers() {
  if (peersHost) {
    forgetChart(peersHost);
    peersHost = null;
  }
}

/** The line's own expected range where it is about this field, else what is usual among its peers. */
function expectedOf(line, peers, field) {
  const own = [line.expected_low, line.expected_high];
  return line.field === field && own.some((end) => end !== null) ? own : [peers[field].low, peers[field].high];
}

function peersWords(line, peers, field) {
  const distribution = peers[field];
  const total = distribution.counts.reduce((sum, number) => sum + number, 0);
  const below = shareBelow(distribution, line[field]);
  const part = (share) => (share > 0.99 ? 'nearly all' : PERCENT.format(share));
  const place = below >= 0.5 ? `above ${part(below)} of them` : `below ${part(1 - below)} of them`;
  const usual = range(field, ...expectedOf(line, peers, field));
  return {
    title: `${words(field)} of its peers`,
    says: `${isolated(peers.label)}: ${count(total, 'line')}, usually ${usual} (shaded), half of them up to ${amount(field, distribution.median)}. `
      + `This line: ${amount(field, line[field])}, ${place}.`,
    header: [words(field), 'Lines'],
    rows: binRows(distribution, field === 'minutes' ? NUMBER.format : MONEY.format),
  };
}

/** Radio buttons in one row; `onChoice` gets the chosen value. */
function choice(name, legend, options, chosen, onChoice) {
  const group = element('fieldset', { class: `choice ${name}` }, element('legend', null, legend));
  for (const [value, text] of options) {
    const radio = element('input', { type: 'radio', name, value, id: `${name}-${value}` });
    radio.checked = value === chosen;
    radio.addEventListener('change', () => onChoice(value));
    group.append(element('span', { class: `option ${value}` }, radio, element('label', { for: radio.id }, text)));
  }
  return group;
}

function verdictForm(line) {
  const options = [['query', 'Query'], ['fine', 'Fine'], ['unsure', 'Unsure']];
  const note = element('textarea', { id: 'note', rows: '2', maxlength: '1000', 'aria-describedby': 'note-hint' });
  note.value = noteOf(line.line);
  note.addEventListener('input', () => {
    setNote(line.line, note.value);
    showAnswer(line);
  });
  const clear = element('button', { type: 'button', class: 'link', id: 'no-verdict' }, 'Take the verdict back');
  clear.addEventListener('click', () => {
    giveVerdict(line, null);
    byId('verdict-query').focus();
  });
  return element('form', { class: 'verdict-form' },
    choice('verdict', 'Your verdict', options, verdictOf(line.line), (value) => giveVerdict(line, value)),
    clear,
    element('label', { for: 'note' }, 'Note'), note,
    element('p', { id: 'note-hint', class: 'hint' }));
}

/** What depends on the answer: the hint, the button, the row, the counter. */
function showAnswer(line) {
  const verdict = verdictOf(line.line);
  if (view.selected === line && byId('no-verdict')) {
    byId('no-verdict').disabled = verdict === null;
    byId('note-hint').textContent = noteOf(line.line) && !verdict ? 'A note is handed over together with a verdict: give one.' : '';
    for (const radio of detail.querySelectorAll('input[name="verdict"]')) {
      radio.checked = radio.value === verdict;
    }
  }
  showRowAnswer(line);
  showGiven();
}

function giveVerdict(line, verdict) {
  setVerdict(line.line, verdict);
  showAnswer(line);
  say(`Line ${line.line}: ${verdict ? VERDICT_WORDS[verdict] : 'no verdict'}. ${byId('given').textContent}.`);
}

function showDetail() {
  const line = view.selected;
  forgetPeers();
  if (!line) {
    detail.replaceChildren(element('h2', { id: 'detail-heading' }, 'No line selected'),
      element('p', { class: 'empty' }, 'Choose a line in the list to see its peers.'));
    return;
  }
  const place = view.shown.indexOf(line);
  const step = (by, text) => {
    const button = element('button', { type: 'button', class: 'step' }, text, element('span', { class: 'quiet' }, ' line'));
    button.disabled = place < 0 || !view.shown[place + by];
    button.addEventListener('click', () => {
      select(view.shown[view.shown.indexOf(line) + by]);
      detail.querySelectorAll('.step')[by < 0 ? 0 : 1].focus();
    });
    return button;
  };
  const close = element('button', { type: 'button', class: 'narrow-only', id: 'close' }, 'Close');
  close.addEventListener('click', closeDetail);
  const expected = range(line.field, line.expected_low, line.expected_high);
  detail.replaceChildren(
    element('div', { class: 'detail-top' },
      element('h2', { id: 'detail-heading', tabindex: '-1' }, `Line ${line.line}`), step(-1, 'Previous'), step(1, 'Next'), close),
    element('p', { class: 'detail-stake' }, element('b', null, MONEY.format(line.at_stake)), ' at stake'),
    element('p', { class: 'reason' }, given(line.reason)),
    expected && element('p', { class: 'expected' }, `Expected: ${expected}`),
    verdictForm(line),
    peersOf(line));
  const shares = sharesOf(line);
  detail.append(...(shares ? [shares] : []), factsOf(line));
  detail.scrollTop = 0;
  showAnswer(line);
}

/** On a narrow screen the line lies over the page, which is out of reach until it is closed. */
function openDetail() {
  document.body.classList.add('is-open');
  for (const other of document.querySelectorAll('.bar, .hero, .list, .chosen, footer, .skip')) {
    other.inert = true;
  }
  detail.setAttribute('role', 'dialog');
  detail.setAttribute('aria-modal', 'true');
  byId('detail-heading').focus();
}

function closeDetail() {
  if (!document.body.classList.contains('is-open')) {
    return;
  }
  document.body.classList.remove('is-open');
  for (const other of document.querySelectorAll('[inert]')) {
    other.inert = false;
  }
  detail.removeAttribute('role');
  detail.removeAttribute('aria-modal');
  focusRow();
}
