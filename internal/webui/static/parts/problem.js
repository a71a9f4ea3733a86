// How problems and messages are shown: in the server's own words.

import { h } from './dom.js';
import { plural } from './format.js';

// problem returns an element that tells of an error.
export function problem(error) {
  if (!error.title) {
    return h('div', { class: 'problem', role: 'alert' }, h('strong', null, 'The page failed'), h('p', null, String(error.message ?? error)));
  }
  return h('div', { class: 'problem', role: 'alert' },
    h('strong', null, error.title),
    error.message && h('p', null, error.message),
    error.reason && h('p', null, 'Reason: ', error.reason),
    error.left && h('ul', null, error.left.map((left) => h('li', null,
      `${left.workflow}${left.status ? ` / ${left.status}` : ''}: `, left.runs >= 1000 ? '1,000 runs or more' : plural(left.runs, 'run')))),
    error.hint && h('p', { class: 'hint' }, error.hint),
    error.run_id && h('p', null, h('a', { href: `#/runs/${error.run_id}` }, 'Show the run')),
  );
}

// say shows a message for some seconds.
export function say(text) {
  const message = h('p', null, text);
  document.getElementById('messages').append(message);
  setTimeout(() => message.remove(), 6000);
}
