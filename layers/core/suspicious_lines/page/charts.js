// Bokeh's charts in the page's colours; what a chart shows is also said in words and, on demand, as a table.
const MOST_CURVE_POINTS = 300;
const OFF_THE_SCALE = 3; // a value beyond this many widths of its peers' distribution is shown at the edge

const hosts = new Map(); // host element -> { build, drawn }
let drawing = Promise.resolve();

const make = (name, attributes) => new (Bokeh.Models.get(name))(attributes);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Draws `build()` into the host, one chart after the other; a later call for the same host wins. */
function draw(host, build) {
  const chart = hosts.get(host) ?? { drawn: null };
  chart.build = build;
  hosts.set(host, chart);
  drawing = drawing.then(async () => {
    if (chart.build !== build) {
      return;
    }
    erase(chart);
    const page = new (Bokeh.require('document').Document)();
    page.add_root(build());
    chart.drawn = { page, views: await Bokeh.embed.add_document_standalone(page, host) };
  }).catch((problem) => console.error(problem)); // the other charts and the list go on
}

function erase(chart) {
  if (chart.drawn) {
    chart.drawn.views.clear();
    const index = Bokeh.documents.indexOf(chart.drawn.page);
    if (index >= 0) {
      Bokeh.documents.splice(index, 1);
    }
    chart.drawn = null;
  }
}

function forgetChart(host) {
  const chart = hosts.get(host);
  if (chart) {
    chart.build = null;
    erase(chart);
    hosts.delete(host);
  }
}

function redrawCharts() {
  for (const [host, { build }] of hosts) {
    draw(host, () => build()); // a new function: not the one drawn last
  }
}

/** An empty plot with two axes; `x` and `y` are [start, end] in data units. */
function plot({ x, y, height, xName, yName, isLogarithmic = false, xFormat = '0,0[.]0', yFormat = '0,0' }) {
  const font = 'system-ui, sans-serif';
  const made = make('Plot', {
    height,
    sizing_mode: 'stretch_width',
    x_range: make('Range1d', { start: x[0], end: x[1] }),
    y_range: make('Range1d', { start: y[0], end: y[1] }),
    y_scale: make(isLogarithmic ? 'LogScale' : 'LinearScale', {}),
    toolbar_location: null,
    outline_line_color: null,
    background_fill_alpha: 0,
    border_fill_alpha: 0,
    min_border_right: 12,
  });
  const style = {
    axis_line_color: colour('rule'),
    major_tick_line_color: colour('rule'),
    minor_tick_line_color: null,
    major_label_text_color: colour('muted'),
    major_label_text_font: font,
    major_label_text_font_size: '12px',
    axis_label_text_color: colour('muted'),
    axis_label_text_font: font,
    axis_label_text_font_size: '12px',
    axis_label_text_font_style: 'normal',
  };
  const formatter = (format) => make('NumeralTickFormatter', { format });
  const across = make('LinearAxis', { ...style, axis_label: xName, formatter: formatter(xFormat) });
  across.ticker.desired_num_ticks = 5;
  const up = make(isLogarithmic ? 'LogAxis' : 'LinearAxis', {
    ...style, axis_label: yName, axis_line_color: null, major_tick_line_color: null, formatter: formatter(yFormat),
  });
  up.ticker.desired_num_ticks = 4;
  made.add_layout(across, 'below');
  made.add_layout(up, 'left');
  made.add_layout(make('Grid', { dimension: 1, ticker: up.ticker, grid_line_color: colour('grid') }));
  return made;
}

function addGlyph(target, name, columns, attributes) {
  const fields = Object.fromEntries(Object.keys(columns).map((column) => [column, { field: column }]));
  target.renderers = [...target.renderers, make('GlyphRenderer', {
    data_source: make('ColumnDataSource', { data: columns }),
    glyph: make(name, { ...fields, ...attributes }),
  })];
}

/** Bars between edges; empty ones are left out, as a logarithmic axis has no place for them. */
function addBars(target, { edges, counts }, floor, fill) {
  const kept = counts.flatMap((number, i) => (number > 0 ? [i] : []));
  addGlyph(target, 'Quad', {
    left: kept.map((i) => edges[i]),
    right: kept.map((i) => edges[i + 1]),
    top: kept.map((i) => counts[i]),
  }, { bottom: floor, fill_color: fill, line_color: colour('surface') });
}

/** A vertical line with its words beside it, on the side where there is room. */
function addMark(target, at, text, [start, end], top) {
  const isRight = at > (start + end) / 2;
  target.add_layout(make('Span', { dimension: 'height', location: at, line_color: colour('mark'), line_width: 2.5 }));
  target.add_layout(make('Label', {
    x: at,
    y: top,
    x_offset: isRight ? -6 : 6,
    text,
    text_align: isRight ? 'right' : 'left',
    text_baseline: 'top',
    text_color: colour('mark'),
    text_font: 'system-ui, sans-serif',
    text_font_size: '13px',
    text_font_style: 'bold',
  }));
}

/** The peers' distribution of a field with the expected range and the line's own value; see `peersWords`. */
function peersPlot(field, peers, expected, value) {
  const first = peers.edges[0];
  const last = peers.edges.at(-1);
  const limit = first + (last - first) * OFF_THE_SCALE;
  const shown = Math.min(value, limit);
  const margin = (Math.max(last, shown) - Math.min(first, shown)) * 0.04;
  const x = [Math.min(first, shown) - margin, Math.max(last, shown) + margin];
  const most = Math.max(...peers.counts, 1);
  const unit = field === 'minutes' ? 'minutes' : 'rate an hour';
  const made = plot({ x, y: [0, most * 1.3], height: 210, xName: unit, yName: 'lines' });
  made.add_layout(make('BoxAnnotation', {
    left: expected[0], right: expected[1], fill_color: colour('band'), fill_alpha: 1, line_color: null, level: 'underlay',
  }));
  addBars(made, peers, 0, colour('bars'));
  const name = field === 'minutes' ? `${NUMBER.format(value)} min` : MONEY.format(value);
  addMark(made, shown, value > limit ? `${name} →` : name, x, most * 1.28);
  return made;
}

/** The share of the peers' lines below a value, within a bar as if evenly spread. */
function shareBelow({ edges, counts }, value) {
  const total = counts.reduce((sum, number) => sum + number, 0);
  const below = counts.reduce((sum, number, i) => {
    const part = (value - edges[i]) / (edges[i + 1] - edges[i]);
    return sum + number * Math.min(1, Math.max(0, part));
  }, 0);
  return total ? below / total : 0;
}

function scoresPlot({ edges, counts }, threshold) {
  const x = [edges[0], edges.at(-1)];
  const most = Math.max(...counts, 1);
  const made = plot({
    x, y: [0.7, most * 4], height: 240, xName: 'score', yName: 'lines, each step × 10', isLogarithmic: true,
  });
  // A bar that the threshold cuts is coloured by its middle.
  const part = (isAbove) => ({
    edges, counts: counts.map((number, i) => ((edges[i] + edges[i + 1]) / 2 >= threshold === isAbove ? number : 0)),
  });
  addBars(made, part(false), 0.7, colour('bars'));
  addBars(made, part(true), 0.7, colour('flagged'));
  addMark(made, threshold, `threshold ${score(threshold)}`, x, most * 3.4);
  return made;
}

/** `curve`: [[recall, precision, score], ...]; `here`: [recall, precision] at the threshold, or null. */
function curvePlot(curve, here) {
  const made = plot({
    x: [0, 1.02], y: [0, 1.05], height: 240, xName: 'share of the errors found (recall)', yName: 'precision',
    xFormat: '0%', yFormat: '0%',
  });
  const step = Math.ceil(curve.length / MOST_CURVE_POINTS);
  const kept = curve.filter((_, i) => i % step === 0 || i === curve.length - 1);
  addGlyph(made, 'Line', { x: kept.map((point) => point[0]), y: kept.map((point) => point[1]) }, {
    line_color: colour('accent'), line_width: 2.5,
  });
  if (here) {
    addGlyph(made, 'Scatter', { x: [here[0]], y: [here[1]] }, {
      marker: 'circle', size: 11, fill_color: colour('mark'), line_color: colour('surface'),
    });
  }
  return made;
}

/** A chart with its words below and its numbers as a table in a fold; `header` and `rows` are that table. */
function figure({ title, says, header, rows }) {
  const host = element('div', { inert: true }); // a picture: nothing in it to focus or to press
  const image = element('div', { class: 'plot', role: 'img', 'aria-label': `${title}. ${says}` }, host);
  const table = element('table', null,
    element('caption', { class: 'quiet' }, title),
    element('thead', null, element('tr', null, ...header.map((name) => element('th', { scope: 'col' }, name)))),
    element('tbody', null, ...rows.map((cells) => element('tr', null, ...cells.map((text) => element('td', null, text))))));
  const fold = element('details', null, element('summary', null, 'The numbers'),
    element('div', { class: 'scroll', role: 'region', 'aria-label': `${title}: the numbers`, tabindex: '0' }, table));
  const caption = element('figcaption', null, says);
  return { node: element('figure', null, element('h3', null, title), image, caption, fold), host };
}

const binRows = ({ edges, counts }, write) =>
  counts.flatMap((number, i) => (number ? [[`${write(edges[i])} to ${write(edges[i + 1])}`, WHOLE.format(number)]] : []));
