/** `work` once after a burst of events: htmx tells of each of a thousand new rows. */
export function soon(work) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      work();
    });
  };
}
