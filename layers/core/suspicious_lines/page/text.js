// Words and numbers as the page writes them, and elements built without markup: no text of an upload is ever parsed.
const report = JSON.parse(document.getElementById('report').textContent);

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });
const MONEY = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const PERCENT = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 0 });

const FIELD_WORDS = { fee: 'Rate', firm_name: 'Firm', matter_number: 'Matter' };
const FOUND_BY_WORDS = { model: 'The model', rule: 'A rule', both: 'Model and rule' };
const VERDICT_WORDS = { query: 'Query', fine: 'Fine', unsure: 'Unsure' };

const byId = (id) => document.getElementById(id);

/** `minutes_cap` -> `Minutes cap`. */
function words(name) {
  const text = FIELD_WORDS[name] ?? String(name).replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const score = (value) => value.toFixed(2);
const count = (number, noun) => `${WHOLE.format(number)} ${noun}${number === 1 ? '' : 's'}`;

/** A value of a field with its unit: minutes, money an hour, or money. */
function amount(field, value) {
  if (field === 'minutes') {
    return `${NUMBER.format(value)} minutes`;
  }
  return field === 'fee' ? `${MONEY.format(value)} an hour` : MONEY.format(value);
}

/** `60 to 180 minutes`; either end may be unknown, null where both are. */
function range(field, low, high) {
  if (low === null && high === null) {
    return null;
  }
  if (low === null || high === null) {
    return low === null ? `up to ${amount(field, high)}` : `from ${amount(field, low)}`;
  }
  const start = field === 'minutes' ? NUMBER.format(low) : MONEY.format(low);
  return `${start} to ${amount(field, high)}`;
}

/** Text for an option or a label, where no element can keep right-to-left text from turning its neighbours round. */
const isolated = (text) => `\u2068${text}\u2069`;

/** An element; `attributes` of null, undefined or false are left out, strings among the children become text. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(key, value === true ? '' : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A text of the upload: its writing direction stays its own. */
const given = (text) => element('bdi', null, String(text));

/** Tells screen readers, which do not see the badge or the file appear. */
function say(text) {
  byId('said').textContent = text;
}
