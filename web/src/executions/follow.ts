import { api, unwrapResponse } from '../api/client.ts'
import { backoff, pauseUntilOnline, type Pause } from '../api/pause.ts'
import { isTransient, retryAfter } from '../api/problem.ts'
import type { Execution } from '../api/types.ts'
import { isFinished } from './status.ts'

/** One read of an execution: the execution, or the error of a read that is repeated later. */
export type Update = { execution: Execution } | { connectionError: Error; retryInSeconds: number }

// A long poll returns as soon as the execution finishes, whatever its wait. The wait of a queued execution is short
// only so that the page shows soon that it runs.
const waitSeconds = { queued: 2, running: 30 }
// A long poll that is this much later than its wait gets no response any more: the connection is dead.
const graceSeconds = 15
// A long poll that returns an unfinished execution faster than this did not wait. Repeating it without a pause would
// flood the server.
const minWaitSeconds = 1

/**
 * Reads an execution until it has finished. Repeats reads that fail transiently, with growing pauses, and throws
 * every other problem, such as 404. Returns without an error when the signal aborts.
 */
export async function* follow(
  id: string,
  signal: AbortSignal,
  pause: Pause = pauseUntilOnline,
): AsyncGenerator<Update, void> {
  let wait: number | undefined // the first read does not wait
  let failures = 0
  for (;;) {
    const started = performance.now()
    try {
      const { execution, retryAfterSeconds } = await read(id, wait, signal)
      failures = 0
      yield { execution }
      if (isFinished(execution.status)) {
        return
      }
      const waitedSeconds = (performance.now() - started) / 1000
      if (wait !== undefined && waitedSeconds < minWaitSeconds) {
        await pause(Math.max(retryAfterSeconds ?? 0, minWaitSeconds), signal)
      }
      wait = execution.status === 'running' ? waitSeconds.running : waitSeconds.queued
    } catch (error) {
      if (signal.aborted) {
        return
      }
      if (!isTransient(error) || !(error instanceof Error)) {
        throw error
      }
      const retryInSeconds = backoff(failures++, error)
      yield { connectionError: error, retryInSeconds }
      await pause(retryInSeconds, signal)
      wait = undefined
    }
  }
}

async function read(id: string, wait: number | undefined, signal: AbortSignal) {
  const timeout = AbortSignal.timeout(((wait ?? 0) + graceSeconds) * 1000)
  const query = wait === undefined ? {} : { wait: `${wait}s` }
  const { data, response } = await unwrapResponse(
    api.GET('/executions/{id}', {
      params: { path: { id }, query },
      signal: AbortSignal.any([signal, timeout]),
    }),
  )
  return { execution: data, retryAfterSeconds: retryAfter(response) }
}
