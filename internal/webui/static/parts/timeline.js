// The history of a run as a timeline: what happened, who or what caused it, and what it cost.

import { h } from './dom.js';
import { digest, moment, number, pretty, seconds } from './format.js';

// entry returns one line of it.
export function entry(e) {
  return h('li', { class: e.failed ? 'failed' : null },
    h('div', { class: 'what' },
      h('span', { class: 'version number', title: e.line ? 'happened to this version' : 'made this version' }, e.line ? `${e.version}·${e.line}` : e.version),
      h('span', { class: 'words' }, headline(e)),
      moment(e.time)),
    e.reason && h('p', { class: 'why' }, e.reason),
    h('p', { class: 'costs' }, costs(e).map((part) => h('span', null, part))),
    e.object !== undefined && objectOf(e));
}

// headline says in words what an entry is.
function headline(e) {
  const status = h('b', null, e.status);
  const did = cause(e);
  if (e.failed) return [did, e.line ? ' failed' : ' failed: ', !e.line && e.state];
  if (e.line) return [did, e.cause === 'hook' && ' was told'];
  switch (e.state) {
    case 'Initiated': return [did, ' began the run in ', status];
    case 'Running': return [did, ' → ', status];
    case 'Completed': return [did, ' → ', status, ', which completed the run'];
    default: return [did, ' → ', e.state, ' in ', status];
  }
}

function cause(e) {
  const named = (what) => [what, ' ', h('b', null, e.handler)];
  switch (e.cause) {
    case 'person': return e.by ? h('b', null, e.by) : 'somebody';
    case 'intent': return ['intent', e.by && [' with run ', h('a', { href: `#/runs/${e.by}` }, e.by)]];
    case 'callback': return e.handler ? named('callback') : 'a callback';
    default: return e.handler ? named(e.cause) : e.cause;
  }
}

function costs(e) {
  return [
    e.attempt > 1 && `attempt ${e.attempt}`,
    e.took_seconds && `took ${seconds(e.took_seconds)}`,
    e.fuel && `${number(e.fuel)} fuel`,
    e.digest && ['module ', digest(e.digest)],
    e.callback_id && `callback ${e.callback_id.split('/').at(-1)}`,
    e.cause === 'person' && 'by hand',
  ].filter(Boolean);
}

// objectOf shows the object of a version once somebody wants to see it.
function objectOf(e) {
  const place = h('pre', { tabindex: 0 });
  const element = h('details', null, h('summary', null, 'Object'), place);
  element.addEventListener('toggle', () => { place.textContent ||= pretty(e.object); });
  return element;
}
