// Loading again, when something changed.

// refresher returns a function that loads, and, when it is called while it does, loads once more after that. A pause, in milliseconds,
// is kept between two loads. The first load's error is the caller's; later ones go to failed.
export function refresher(load, { signal, pause = 0, failed }) {
  let running = false;
  let again = false;
  return async function refresh() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    do {
      again = false;
      try {
        await load();
      } catch (error) {
        if (!signal.aborted) failed(error);
      }
      if (pause) await after(pause, signal);
    } while (again && !signal.aborted);
    running = false;
  };
}

// after waits, and not beyond the signal's end.
export function after(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// every calls fn again and again while somebody looks: for what no event tells.
export function every(ms, fn, signal) {
  const timer = setInterval(() => { if (!document.hidden) fn(); }, ms);
  signal.addEventListener('abort', () => clearInterval(timer));
}
