import { ProblemError } from './problem.ts'

export type Pause = (seconds: number, signal: AbortSignal) => Promise<void>

const firstBackoffSeconds = 1
const maxBackoffSeconds = 30

/** Returns how long to pause after this many failures before the one of this error. */
export function backoff(failures: number, error: unknown): number {
  const requested = error instanceof ProblemError ? (error.retryAfterSeconds ?? 0) : 0
  return Math.max(requested, Math.min(maxBackoffSeconds, firstBackoffSeconds * 2 ** failures))
}

/** Pauses until the time has passed, the browser is online again, or the signal aborts. */
export function pauseUntilOnline(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, seconds * 1000)
    function end() {
      clearTimeout(timer)
      window.removeEventListener('online', end)
      signal.removeEventListener('abort', end)
      resolve()
    }
    window.addEventListener('online', end)
    signal.addEventListener('abort', end)
    if (signal.aborted) {
      end()
    }
  })
}
