// The verdicts and notes of this run: kept in the browser, handed over as a CSV file.
const VERDICTS = ['query', 'fine', 'unsure'];
const STORAGE_KEY = `suspicious-lines/verdicts/${report.run}`;
const FORMULA_STARTS = /^[=+\-@\t\r]/;
const SAVE_AFTER_MS = 200;

const verdicts = new Map(); // line -> { verdict: null or one of VERDICTS, note }
let canKeep = true;
let isDownloaded = true;
let saveTimer = null;

const verdictOf = (line) => verdicts.get(line)?.verdict ?? null;
const noteOf = (line) => verdicts.get(line)?.note ?? '';
const verdictsGiven = () => [...verdicts.values()].filter((answer) => answer.verdict).length;

function setVerdict(line, verdict) {
  answer(line, { verdict, note: noteOf(line) });
}

function setNote(line, note) {
  answer(line, { verdict: verdictOf(line), note });
}

function answer(line, { verdict, note }) {
  if (verdict || note) {
    verdicts.set(line, { verdict, note });
  } else {
    verdicts.delete(line);
  }
  isDownloaded = false;
  saveTimer ??= setTimeout(keepVerdicts, SAVE_AFTER_MS);
}

function keepVerdicts() {
  clearTimeout(saveTimer);
  saveTimer = null;
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(Object.fromEntries(verdicts)));
  } catch {
    canKeep = false; // no storage for this origin, or it is full
  }
  byId('unkept').hidden = canKeep;
}

/** Reads what this browser kept; what is not an answer to a line of this report is ignored. */
function recallVerdicts() {
  let kept;
  try {
    kept = Object.entries(JSON.parse(localStorage.getItem(STORAGE_KEY)) ?? {});
  } catch (problem) {
    canKeep = problem instanceof SyntaxError;
    byId('unkept').hidden = canKeep;
    return;
  }
  const known = new Set(report.lines.map((line) => line.line));
  verdicts.clear();
  for (const [line, kind] of kept) {
    const verdict = VERDICTS.includes(kind?.verdict) ? kind.verdict : null;
    const note = typeof kind?.note === 'string' ? kind.note : '';
    if (known.has(Number(line)) && (verdict || note)) {
      verdicts.set(Number(line), { verdict, note });
    }
  }
}

/** A cell of CSV: text that a spreadsheet would run as a formula gets a leading apostrophe. */
function cell(value) {
  const text = String(value);
  const safe = FORMULA_STARTS.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** `Run,Line,Verdict,Note`: a row for each line with a verdict, by line number. */
function verdictsCsv() {
  const answers = [...verdicts].filter(([, kept]) => kept.verdict).sort(([a], [b]) => a - b);
  const rows = answers.map(([line, kept]) => [report.run, line, kept.verdict, kept.note.trim()].map(cell).join(','));
  return ['Run,Line,Verdict,Note', ...rows, ''].join('\r\n');
}

function downloadVerdicts() {
  const name = `verdicts-${report.run.replace(/[^\w.-]/g, '-')}.csv`;
  const address = URL.createObjectURL(new Blob([verdictsCsv()], { type: 'text/csv;charset=utf-8' }));
  element('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  isDownloaded = true;
  say(`${name} with ${count(verdictsGiven(), 'verdict')} downloaded.`);
}

function listenToStorage(onChange) {
  addEventListener('pagehide', () => saveTimer && keepVerdicts());
  addEventListener('storage', (event) => {
    if (event.key === STORAGE_KEY) { // given in another window of the same report
      recallVerdicts();
      onChange();
    }
  });
  addEventListener('beforeunload', (event) => {
    if (!canKeep && !isDownloaded) {
      event.preventDefault();
    }
  });
}
