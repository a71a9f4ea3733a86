// Elements. Whatever comes from a run goes in as text, by text nodes and attributes that no script is read from; nothing is ever
// parsed as HTML.

const svgNamespace = 'http://www.w3.org/2000/svg';

// h makes an HTML element: h('a', { href, onclick }, 'text', other, null). A false, null or undefined child is left out.
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// s makes an SVG element.
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(svgNamespace, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

// put replaces what is in an element.
export function put(element, ...children) {
  element.replaceChildren(...present(children));
}

// keyed makes the children of an element those of the items, in their order. The element of a key is kept, so that the focus and
// what is open in it stay, and made anew only when the mark of its item changed.
export function keyed(parent, items, keyOf, markOf, make) {
  const old = parent.made ?? new Map();
  const now = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const mark = markOf(item);
    const known = old.get(key);
    if (known && known.mark === mark) {
      now.set(key, known);
      continue;
    }
    const element = make(item);
    if (known?.element.contains(document.activeElement)) refocus(known.element, element);
    now.set(key, { mark, element });
  }
  parent.made = now;
  const wanted = [...now.values()].map((entry) => entry.element);
  for (const child of [...parent.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((element, i) => {
    if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] ?? null);
  });
}

// refocus gives the focus to the element that stands where the focused one did, once it is in the page.
function refocus(from, to) {
  const focusable = 'a, button, summary, input';
  const at = [...from.querySelectorAll(focusable)].indexOf(document.activeElement);
  queueMicrotask(() => to.querySelectorAll(focusable)[at]?.focus());
}
