// How values are written.

import { h } from './dom.js';

const two = (n) => String(n).padStart(2, '0');

// moment writes a time in the reader's zone, with the time as it was sent in its title.
export function moment(text) {
  if (!text) return null;
  const t = new Date(text);
  const day = `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
  const time = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
  return h('time', { datetime: text, title: text, class: 'number' }, `${day} ${time}`);
}

const counted = new Intl.NumberFormat('en');

export const number = (n) => counted.format(n);

// seconds writes a length of time with three digits: 812 µs, 4.21 ms, 2 h 5 min.
export function seconds(n) {
  if (n < 1e-3) return `${(n * 1e6).toPrecision(3)} µs`;
  if (n < 1) return `${(n * 1e3).toPrecision(3)} ms`;
  if (n < 60) return `${Number(n.toPrecision(3))} s`;
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const parts = [];
  let rest = Math.round(n);
  for (const [unit, size] of units) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(' ');
}

export function bytes(n) {
  for (const unit of ['B', 'KiB', 'MiB']) {
    if (n < 1024) return `${Number(n.toPrecision(3))} ${unit}`;
    n /= 1024;
  }
  return `${Number(n.toPrecision(3))} GiB`;
}

// digest shows the beginning of a SHA-256, and all of it in its title.
export function digest(text) {
  return text ? h('code', { title: text, class: 'digest' }, text.slice(0, 12)) : null;
}

// state writes a run state, whose colour only repeats what the word says.
export function state(name) {
  return h('span', { class: `state state-${name.toLowerCase()}` }, name);
}

// plural writes "1 run", "2 runs".
export const plural = (n, one) => `${number(n)} ${one}${n === 1 ? '' : 's'}`;

// pretty writes a JSON value over several lines.
export function pretty(value) {
  return value === undefined ? '' : JSON.stringify(value, null, 2);
}
