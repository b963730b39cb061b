/** When something was wrong on purpose: unknown outcomes elsewhere need another excuse. */
import type { Operation } from '../history/types.ts';

interface Window {
  readonly what: string;
  readonly fromMs: number;
  toMs: number;
}

export interface Windows {
  /** Opens a window; gives back how to close it. */
  open(what: string): () => void;
  /** What is wrong now. */
  current(): readonly string[];
  /** Whether the operation and any window ever overlapped. */
  covers(operation: Operation): boolean;
}

/** Connections and leases take a while to be as before. */
const AFTERMATH_MS = 2_000;

export function createWindows(): Windows {
  const windows: Window[] = [];
  return {
    open(what) {
      const window = { what, fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY };
      windows.push(window);
      return () => {
        window.toMs = performance.now() + AFTERMATH_MS;
      };
    },
    current: () => windows.filter(({ toMs }) => toMs === Number.POSITIVE_INFINITY).map(({ what }) => what),
    covers({ invokedMs, completedMs }) {
      const endMs = completedMs ?? Number.POSITIVE_INFINITY;
      return windows.some(({ fromMs, toMs }) => invokedMs <= toMs && fromMs <= endMs);
    },
  };
}
