// The filter of a list of runs. It lives in the address; this is what reads and changes it there.

import { h, put } from './dom.js';

export const states = ['Initiated', 'Running', 'Paused', 'Cancelled', 'Completed', 'RequestedDataDeleted', 'DataDeleted'];

const lists = ['workflow', 'state', 'status', 'foreign_id'];
const singles = ['created_after', 'created_before'];

// filterOf reads the filter of an address, as the API takes it. Members that are not given are absent.
export function filterOf(query) {
  const filter = {};
  for (const name of lists) if (query.getAll(name).length) filter[name] = query.getAll(name);
  for (const name of singles) if (query.get(name)) filter[name] = query.get(name);
  return filter;
}

// addressOf writes a filter, and what else there is, as the address of the list.
export function addressOf(filter, more = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...filter, ...more })) {
    for (const one of [value].flat()) if (one) search.append(name, one);
  }
  return `#/runs${search.size ? `?${search}` : ''}`;
}

// filterForm returns the controls of a filter, and a function that shows another filter in them. change is called with each new
// filter. workflows are the definitions that names are proposed from.
export function filterForm(workflows, change) {
  let filter = {};
  const set = (name, value) => {
    const next = { ...filter, [name]: value };
    if (!value?.length) delete next[name];
    change(next);
  };
  const names = workflows.map((w) => w.name);
  const statuses = [...new Set(workflows.flatMap((w) => w.statuses.map((status) => status.name)))].sort();
  const controls = [
    several('Workflow', 'workflow', names, set),
    several('Status', 'status', statuses, set),
    several('Foreign ID', 'foreign_id', [], set),
    time('Created from', 'created_after', set),
    time('Created before', 'created_before', set),
    boxes('State', 'state', states, set),
  ];
  const form = h('form', { class: 'filter', 'aria-label': 'Filter' }, controls.map((control) => control.element));
  form.addEventListener('submit', (event) => event.preventDefault());
  return [form, (next) => {
    filter = next;
    for (const control of controls) control.show(next[control.name] ?? []);
  }];
}

// several takes values one after the other; each is shown with a button that removes it.
function several(label, name, proposals, set) {
  const id = `filter-${name}`;
  const input = h('input', { id, list: proposals.length ? `${id}-list` : null, autocomplete: 'off', spellcheck: 'false', placeholder: 'any' });
  const chips = h('span', { class: 'chips' });
  let values = [];
  const add = () => {
    const value = input.value.trim();
    if (value && !values.includes(value)) set(name, [...values, value]);
    input.value = '';
  };
  input.addEventListener('change', add);
  const element = h('div', { class: 'field' }, h('label', { for: id }, label),
    h('div', { class: 'several' }, chips, input),
    proposals.length > 0 && h('datalist', { id: `${id}-list` }, proposals.map((proposal) => h('option', { value: proposal }))));
  return {
    name, element,
    show(next) {
      values = next;
      input.placeholder = values.length ? 'or' : 'any';
      put(chips, values.map((value) => h('button', {
        type: 'button', class: 'chip', 'aria-label': `Remove ${label} ${value}`,
        onclick: () => { set(name, values.filter((other) => other !== value)); input.focus(); },
      }, value, h('span', { 'aria-hidden': 'true' }, ' ×'))));
    },
  };
}

// time takes a moment in the reader's zone.
function time(label, name, set) {
  const id = `filter-${name}`;
  const input = h('input', { id, type: 'datetime-local', step: 1 });
  input.addEventListener('change', () => set(name, input.value && new Date(input.value).toISOString()));
  return {
    name,
    element: h('div', { class: 'field' }, h('label', { for: id }, label), input),
    show(value) {
      const t = value.length ? new Date(value) : null;
      input.value = t && !Number.isNaN(t.getTime()) ? new Date(t - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : '';
    },
  };
}

function boxes(label, name, options, set) {
  const inputs = options.map((option) => h('input', { type: 'checkbox', value: option }));
  const element = h('fieldset', { class: 'boxes' }, h('legend', null, label),
    inputs.map((input) => h('label', null, input, input.value)));
  element.addEventListener('change', () => set(name, inputs.filter((input) => input.checked).map((input) => input.value)));
  return {
    name, element,
    show(values) { for (const input of inputs) input.checked = values.includes(input.value); },
  };
}
