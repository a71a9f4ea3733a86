// The graph of a workflow as an SVG: statuses in layers from left to right, an edge that spans several layers led through each of
// them, and the order within a layer by where a status's neighbours are (Sugiyama's method).

import { addressOf } from './filter.js';
import { s } from './dom.js';

const height = 34; // of a box
const gap = { x: 64, y: 18 };
const margin = 12;

// graph draws a workflow. captions gives, by status, what is written behind its name.
export function graph(workflow, captions) {
  const edges = edgesOf(workflow);
  const layers = layered(workflow, edges);
  const place = placed(layers, (name) => labelOf(name, captions));
  const drawing = s('svg', {
    class: 'graph', viewBox: `0 0 ${place.width} ${place.height}`, width: place.width, height: place.height, role: 'group',
    'aria-label': `The graph of ${workflow.name}: its statuses and what leads from one to the next. The table below says the same.`,
  });
  drawing.append(s('defs', null, s('marker', {
    id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto-start-reverse',
  }, s('path', { d: 'M0 0L8 4L0 8z' }))));
  for (const edge of edges) drawing.append(line(edge, place));
  for (const status of workflow.statuses) drawing.append(box(workflow, status, place.of.get(status.name), labelOf(status.name, captions)));
  return drawing;
}

function labelOf(name, captions) {
  return captions[name] ? `${name} · ${captions[name]}` : name;
}

// edgesOf returns what leads from a status to another: { from, to, kind, title }, each kind once.
function edgesOf(workflow) {
  const edges = new Map();
  const add = (kind, from, to, title) => {
    const key = JSON.stringify([kind, from, to]);
    if (edges.has(key)) edges.get(key).title += `, ${title}`;
    else edges.set(key, { kind, from, to, title });
  };
  for (const { name, to, handler, callbacks, timeouts } of workflow.statuses) {
    for (const next of to ?? []) add('step', name, next, `step ${handler}`);
    for (const callback of callbacks ?? []) for (const next of callback.to) add('callback', name, next, `callback ${callback.handler}`);
    for (const timeout of timeouts ?? []) for (const next of timeout.to) add('timeout', name, next, `timeout ${timeout.handler}`);
  }
  const known = new Set(workflow.statuses.map((status) => status.name));
  const all = [...edges.values()].filter((edge) => known.has(edge.to));
  for (const beside of Map.groupBy(all, (edge) => JSON.stringify([edge.from, edge.to])).values()) {
    beside.forEach((edge, i) => { edge.shift = (i - (beside.length - 1) / 2) * 10; }); // so that none hides another
  }
  return all;
}

// layered puts every status behind all that lead to it, but for edges that lead back, and gives each forward edge its way: the nodes
// from its beginning to its end, with one that is only passed in every layer between.
function layered(workflow, edges) {
  const out = Map.groupBy(edges, (edge) => edge.from);
  const rank = new Map();
  const open = new Set();
  const order = [];
  const visit = (name) => {
    open.add(name);
    for (const edge of out.get(name) ?? []) {
      edge.back = open.has(edge.to);
      if (!edge.back && !rank.has(edge.to)) visit(edge.to);
    }
    open.delete(name);
    rank.set(name, 0);
    order.unshift(name);
  };
  for (const { name } of workflow.statuses) if (!rank.has(name)) visit(name);
  for (const name of order) {
    for (const edge of out.get(name) ?? []) if (!edge.back) rank.set(edge.to, Math.max(rank.get(edge.to), rank.get(name) + 1));
  }
  const layers = [];
  const put = (node, r) => { (layers[r] ??= []).push(node); };
  const nodes = new Map(order.map((name) => [name, { name, near: [] }]));
  for (const [name, node] of nodes) put(node, rank.get(name));
  for (const edge of edges) {
    if (edge.back) continue;
    edge.way = [nodes.get(edge.from)];
    for (let r = rank.get(edge.from) + 1; r < rank.get(edge.to); r++) {
      const passed = { near: [] };
      put(passed, r);
      edge.way.push(passed);
    }
    edge.way.push(nodes.get(edge.to));
    for (let i = 1; i < edge.way.length; i++) {
      edge.way[i].near.push(edge.way[i - 1]);
      edge.way[i - 1].near.push(edge.way[i]);
    }
  }
  return settle(layers);
}

// settle orders each layer by the mean place of what its nodes are joined to, there and back a few times.
function settle(layers) {
  const number = () => layers.forEach((layer) => layer.forEach((node, i) => { node.at = i - (layer.length - 1) / 2; }));
  number();
  for (let sweep = 0; sweep < 6; sweep++) {
    const ordered = sweep % 2 ? layers.toReversed() : layers;
    for (const layer of ordered) {
      for (const node of layer) node.mean = node.near.length ? node.near.reduce((sum, other) => sum + other.at, 0) / node.near.length : node.at;
      layer.sort((a, b) => a.mean - b.mean);
      layer.forEach((node, i) => { node.at = i - (layer.length - 1) / 2; });
    }
  }
  number();
  return layers;
}

// placed gives every node its place in the drawing.
function placed(layers, label) {
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const middle = margin + (tallest * (height + gap.y) - gap.y) / 2;
  const of = new Map();
  let x = margin;
  for (const layer of layers) {
    const width = Math.max(...layer.map((node) => (node.name === undefined ? 0 : 24 + 7.6 * label(node.name).length)));
    for (const node of layer) {
      const y = middle + node.at * (height + gap.y);
      node.place = { x, y, width };
      if (node.name !== undefined) of.set(node.name, node.place);
    }
    x += width + gap.x;
  }
  return { of, width: x - gap.x + margin, height: 2 * middle };
}

function line(edge, place) {
  const d = edge.back ? backwards(place.of.get(edge.from), place.of.get(edge.to)) : forwards(edge.way.map((node) => node.place), edge.shift);
  return s('path', { class: `edge ${edge.kind}`, d, 'marker-end': 'url(#arrow)' }, s('title', null, `${edge.title}: ${edge.from} → ${edge.to}`));
}

function forwards(places, shift) {
  let d = `M${places[0].x + places[0].width} ${places[0].y + shift}`;
  for (let i = 1; i < places.length; i++) {
    const from = places[i - 1].x + places[i - 1].width;
    const { x, width } = places[i];
    const y = places[i].y + shift;
    const bend = (x - from) / 2;
    d += `C${from + bend} ${places[i - 1].y + shift} ${x - bend} ${y} ${x} ${y}`;
    if (i < places.length - 1) d += `H${x + width}`;
  }
  return d;
}

function backwards(from, to) {
  const top = Math.min(from.y, to.y) - height;
  const x = from.x + from.width / 2 + 8;
  const end = to.x + to.width / 2 - 8;
  return `M${x} ${from.y - height / 2}C${x} ${top} ${end} ${top} ${end} ${to.y - height / 2}`;
}

function box(workflow, status, { x, y, width }, label) {
  const start = status.name === workflow.start;
  const kind = [status.terminal ? 'terminal' : '', start ? 'start' : ''].join(' ');
  const title = `${status.name}${start ? ', where runs begin' : ''}${status.terminal ? ', where they end' : ''}`;
  return s('a', { href: addressOf({ workflow: workflow.name, status: status.name }), class: `box ${kind}` }, s('title', null, title),
    s('rect', { x, y: y - height / 2, width, height, rx: status.terminal ? height / 2 : 6 }),
    s('text', { x: x + width / 2, y, 'text-anchor': 'middle', 'dominant-baseline': 'central' }, label));
}
