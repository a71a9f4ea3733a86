// A guest in AssemblyScript: sorting, maps, strings, lists, recursion and floats. Each export takes a number and answers one.

function mix(h: u64, v: u64): u64 {
  return (h ^ v) * 1099511628211;
}

export function sort(n: u32): u64 {
  const v = new Array<u32>();
  let x = n;
  for (let i: u32 = 0; i < n; i++) {
    x = x * 1664525 + 1013904223;
    v.push(x);
  }
  v.sort((a, b) => (a > b ? 1 : a < b ? -1 : 0));
  let h: u64 = 0;
  for (let i = 0; i < v.length; i++) h = mix(h, v[i]);
  return h;
}

export function strings(n: u32): u64 {
  const counts = new Map<string, i32>();
  for (let i: u32 = 0; i < n; i++) {
    const word = "word".repeat(i % 5) + (i % 31).toString();
    counts.set(word, counts.has(word) ? counts.get(word) + 1 : 1);
  }
  const keys = counts.keys().sort();
  let h: u64 = 7;
  for (let i = 0; i < keys.length; i++) {
    const text = keys[i].toUpperCase() + "=" + counts.get(keys[i]).toString();
    for (let j = 0; j < text.length; j++) h = mix(h, text.charCodeAt(j));
  }
  return h;
}

class Node {
  next: Node | null = null;
  constructor(public value: i64) {}
}

export function list(n: u32): u64 {
  let head: Node | null = null;
  for (let i: u32 = 0; i < n; i++) {
    const node = new Node(<i64>i * i - 1000);
    node.next = head;
    head = node;
  }
  let h: u64 = 0;
  while (head != null) {
    h = mix(h, head.value);
    head = head.next;
  }
  return h;
}

function ackermann(m: u32, n: u32): u32 {
  return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

export function recursion(n: u32): u64 {
  return ackermann(2, n);
}

export function floats(n: u32): u64 {
  let sum: f64 = 0;
  for (let i: u32 = 1; i <= n; i++) sum += Math.sin(i) / i + Math.sqrt(i) * Math.exp(-(<f64>i) / n);
  return mix(reinterpret<u64>(sum), <u64>(<f32>sum * 1000));
}
