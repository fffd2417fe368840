import { answered, api } from '../api/client.ts'
import { isTransient, ProblemError, retryAfter } from '../api/problem.ts'
import type { Execution } from '../api/types.ts'
import { hasEnded } from './status.ts'

/** What a look at an execution brought: the execution, or why there was none this time. */
export type Sighting = { execution: Execution } | { lost: Error; nextTryInSeconds: number }

export type Pause = (seconds: number, signal: AbortSignal) => Promise<void>

// The answer comes the moment the execution ends, whatever the wait; the wait of a queued one is short only to
// notice soon that it began to run.
const waitSeconds = { queued: 2, running: 30 }
// A held request that is this late will not be answered: the connection is gone without a word.
const graceSeconds = 15
const firstBackoffSeconds = 1
const maxBackoffSeconds = 30
// Answers that come faster than this, without an end, were not held; asking again at once would be a storm.
const shortestHoldSeconds = 1

/**
 * Looks at an execution until it has ended. It survives a server that is away, with growing pauses; a problem
 * that asking again cannot cure, such as 404, is thrown. Returns quietly when the signal aborts.
 */
export async function* follow(
  id: string,
  signal: AbortSignal,
  pause: Pause = pauseUntilOnline,
): AsyncGenerator<Sighting, void> {
  let wait: number | undefined // the first look is answered at once
  let failures = 0
  for (;;) {
    const asked = performance.now()
    try {
      const { execution, retryAfterSeconds } = await look(id, wait, signal)
      failures = 0
      yield { execution }
      if (hasEnded(execution.status)) {
        return
      }
      const heldSeconds = (performance.now() - asked) / 1000
      if (wait !== undefined && heldSeconds < shortestHoldSeconds) {
        await pause(Math.max(retryAfterSeconds ?? 0, shortestHoldSeconds), signal)
      }
      wait = execution.status === 'running' ? waitSeconds.running : waitSeconds.queued
    } catch (error) {
      if (signal.aborted) {
        return
      }
      if (!isTransient(error) || !(error instanceof Error)) {
        throw error
      }
      const nextTryInSeconds = backoff(failures++, error)
      yield { lost: error, nextTryInSeconds }
      await pause(nextTryInSeconds, signal)
      wait = undefined
    }
  }
}

async function look(id: string, wait: number | undefined, signal: AbortSignal) {
  const deadline = AbortSignal.timeout(((wait ?? 0) + graceSeconds) * 1000)
  const query = wait === undefined ? {} : { wait: `${wait}s` }
  const { data, response } = await answered(
    api.GET('/executions/{id}', {
      params: { path: { id }, query },
      signal: AbortSignal.any([signal, deadline]),
    }),
  )
  return { execution: data, retryAfterSeconds: retryAfter(response) }
}

function backoff(failures: number, error: Error): number {
  const asked = error instanceof ProblemError ? (error.retryAfterSeconds ?? 0) : 0
  return Math.max(asked, Math.min(maxBackoffSeconds, firstBackoffSeconds * 2 ** failures))
}

/** Ends early when the browser comes back online, and at once when the signal aborts. */
function pauseUntilOnline(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, seconds * 1000)
    function done() {
      clearTimeout(timer)
      window.removeEventListener('online', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    window.addEventListener('online', done)
    signal.addEventListener('abort', done)
    if (signal.aborted) {
      done()
    }
  })
}
