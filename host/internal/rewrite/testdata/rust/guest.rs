// A guest in Rust: sorting, maps, strings, lists, recursion and floats. Each export takes a number and answers one.
use std::collections::{BTreeMap, HashMap};

fn mix(h: u64, v: u64) -> u64 {
    (h ^ v).wrapping_mul(1099511628211)
}

fn numbers(n: u32) -> impl Iterator<Item = u32> {
    let mut x = n;
    (0..n).map(move |_| {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        x
    })
}

#[no_mangle]
pub extern "C" fn sort(n: u32) -> u64 {
    let mut v: Vec<u32> = numbers(n).collect();
    v.sort_by(|a, b| b.cmp(a));
    let mut w = v.clone();
    w.sort_unstable();
    w.dedup();
    v.iter().chain(w.iter()).fold(0, |h, x| mix(h, *x as u64))
}

#[no_mangle]
pub extern "C" fn strings(n: u32) -> u64 {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for x in numbers(n) {
        *counts.entry(format!("{:>8}-{}", x % 97, "äö".repeat((x % 5) as usize))).or_default() += 1;
    }
    let joined = counts.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(";");
    joined.to_uppercase().bytes().fold(7, |h, b| mix(h, b as u64))
}

#[no_mangle]
pub extern "C" fn maps(n: u32) -> u64 {
    let mut m: HashMap<u32, u64> = HashMap::new();
    for (i, x) in numbers(n).enumerate() {
        *m.entry(x % 1009).or_insert(0) += i as u64;
    }
    m.iter().map(|(k, v)| mix(*k as u64, *v)).fold(0, u64::wrapping_add)
}

enum Tree {
    Leaf,
    Node(Box<Tree>, u32, Box<Tree>),
}

impl Tree {
    fn insert(self, v: u32) -> Tree {
        match self {
            Tree::Leaf => Tree::Node(Box::new(Tree::Leaf), v, Box::new(Tree::Leaf)),
            Tree::Node(l, x, r) if v < x => Tree::Node(Box::new(l.insert(v)), x, r),
            Tree::Node(l, x, r) => Tree::Node(l, x, Box::new(r.insert(v))),
        }
    }
    fn fold(&self, h: u64, depth: u64) -> u64 {
        match self {
            Tree::Leaf => mix(h, depth),
            Tree::Node(l, x, r) => r.fold(mix(l.fold(h, depth + 1), *x as u64), depth + 1),
        }
    }
}

#[no_mangle]
pub extern "C" fn tree(n: u32) -> u64 {
    numbers(n).fold(Tree::Leaf, Tree::insert).fold(0, 0)
}

#[no_mangle]
pub extern "C" fn floats(n: u32) -> u64 {
    let sum: f64 = (1..=n).map(|i| (i as f64).sin() / (i as f64).ln_1p() + (i as f64).powf(0.3)).sum();
    let text = format!("{sum:e} {sum:.3}");
    text.parse::<f64>().map_or(1, |_| text.bytes().fold(sum.to_bits(), |h, b| mix(h, b as u64)))
}

trait Shape {
    fn area(&self) -> f64;
}
struct Circle(f64);
struct Square(f64);
impl Shape for Circle {
    fn area(&self) -> f64 {
        self.0 * self.0 * std::f64::consts::PI
    }
}
impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

#[no_mangle]
pub extern "C" fn shapes(n: u32) -> u64 {
    let shapes: Vec<Box<dyn Shape>> = numbers(n)
        .map(|x| if x & 64 == 0 { Box::new(Circle((x % 100) as f64)) as Box<dyn Shape> } else { Box::new(Square((x % 90) as f64)) })
        .collect();
    shapes.iter().map(|s| s.area()).sum::<f64>().to_bits()
}
