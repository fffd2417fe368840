import createClient from 'openapi-fetch'
import { currentKey, rejectKey } from '../session/session.ts'
import { problemOf, UnreachableError } from './problem.ts'
import type { paths } from './schema.gen.ts'

/** The client of the server that served this page. */
export const api = createClient<paths>({
  baseUrl: window.location.origin,
  headers: { Accept: 'application/json' },
  // Reads the global at each call, so that a test can replace it.
  fetch: (request) => globalThis.fetch(request),
})

api.use({
  onRequest({ request }) {
    const key = currentKey()
    if (key !== undefined) {
      request.headers.set('Authorization', `Bearer ${key}`)
    }
    return request
  },
  async onResponse({ request, response }) {
    if (response.status === 401) {
      const body: unknown = await response
        .clone()
        .json()
        .catch(() => undefined)
      const usedKey = request.headers.get('Authorization')?.slice('Bearer '.length)
      rejectKey(usedKey, problemOf(body, response).message)
    }
  },
})

interface ApiResponse<T> {
  data?: T
  error?: unknown
  response: Response
}

/** Returns the body of a success. Throws a ProblemError, or an UnreachableError without a response (also when aborted). */
export async function unwrap<T>(call: Promise<ApiResponse<T>>): Promise<T> {
  return (await unwrapResponse(call)).data
}

/** Waits for a success that has no body. Throws like unwrap. */
export async function unwrapEmpty(call: Promise<ApiResponse<unknown>>): Promise<void> {
  const { error, response } = await orUnreachable(call)
  if (!response.ok) {
    throw problemOf(error, response)
  }
}

/** Returns what unwrap does, together with the response and its headers. */
export async function unwrapResponse<T>(
  call: Promise<ApiResponse<T>>,
): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await orUnreachable(call)
  if (data === undefined || !response.ok) {
    throw problemOf(error, response)
  }
  return { data, response }
}

/** Returns what unwrapResponse does; the body is undefined if it is empty and has a Content-Length. */
export async function unwrapContent<T>(
  call: Promise<ApiResponse<T>>,
): Promise<{ data: T | undefined; response: Response }> {
  const { data, error, response } = await orUnreachable(call)
  if (!response.ok) {
    throw problemOf(error, response)
  }
  return { data, response }
}

function orUnreachable<T>(call: Promise<ApiResponse<T>>): Promise<ApiResponse<T>> {
  return call.catch((cause: unknown) => {
    throw new UnreachableError(cause)
  })
}

/** Makes a random Idempotency-Key. The server does the work of repeated POSTs with the same key only once. */
export function idempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
