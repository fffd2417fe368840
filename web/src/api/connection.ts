import { backoff, type Pause } from './pause.ts'
import { isTransient, UnreachableError } from './problem.ts'

/** The news that a connection has begun or was interrupted. */
export interface Connection {
  connected: boolean
}

export type ByteStream = ReadableStream<Uint8Array<ArrayBuffer>>

// The server is never silent for more than 25 s, so a connection that is silent for longer than this is dead.
const maxSilenceMs = 60_000
// The pause after a connection that lasted this long is short again.
const steadyMs = 10_000

/**
 * Yields what one connection after another yields, until a connection returns true: then there is no more to read.
 * Pauses between connections, longer after each failure. Throws a problem that is not transient. Returns when the
 * signal aborts.
 */
export async function* keepConnected<T>(
  connect: () => AsyncGenerator<T, boolean>,
  signal: AbortSignal,
  pause: Pause,
): AsyncGenerator<T | Connection, void> {
  const stopped = () => signal.aborted
  for (let failures = 0; !stopped(); failures++) {
    const started = performance.now()
    let problem: unknown
    try {
      if (yield* connect()) {
        return
      }
    } catch (error) {
      problem = error
      if (!stopped() && !isTransient(error)) {
        throw error
      }
    }
    if (stopped()) {
      return
    }
    yield { connected: false }
    if (performance.now() - started >= steadyMs) {
      failures = 0
    }
    await pause(backoff(failures, problem), signal)
  }
}

/**
 * Reads the chunks of one connection. Throws an UnreachableError if it breaks, is silent for too long, or the signal
 * aborts.
 */
export async function* readChunks(
  body: ByteStream | null,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  if (body === null) {
    return
  }
  const reader = body.getReader()
  let closed = false
  const isClosed = () => closed
  const close = () => {
    closed = true
    void reader.cancel().catch(() => undefined)
  }
  signal.addEventListener('abort', close)
  if (signal.aborted) {
    close()
  }
  try {
    for (;;) {
      const watchdog = setTimeout(close, maxSilenceMs)
      const chunk = await reader
        .read()
        .catch((cause: unknown) => {
          throw new UnreachableError(cause)
        })
        .finally(() => clearTimeout(watchdog))
      if (isClosed()) {
        throw new UnreachableError('closed')
      }
      if (chunk.value === undefined) {
        return
      }
      yield chunk.value
    }
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}
