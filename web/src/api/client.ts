import createClient from 'openapi-fetch'
import { currentKey, refuse } from '../session/session.ts'
import { problemOf, UnreachableError } from './problem.ts'
import type { paths } from './schema.gen.ts'

/** The server that served this page. */
export const api = createClient<paths>({
  baseUrl: window.location.origin,
  headers: { Accept: 'application/json' },
  // Looked up at each call, so that a test can put its own in place.
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
      const used = request.headers.get('Authorization')?.slice('Bearer '.length)
      refuse(used, problemOf(body, response).message)
    }
  },
})

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The body of a success; throws a ProblemError or, when there is no answer (or it was aborted), an UnreachableError. */
export async function unwrap<T>(call: Promise<Answer<T>>): Promise<T> {
  return (await answered(call)).data
}

/** Waits for a success that has no body; throws like unwrap. */
export async function done(call: Promise<Answer<unknown>>): Promise<void> {
  const { error, response } = await call.catch((cause: unknown) => {
    throw new UnreachableError(cause)
  })
  if (!response.ok) {
    throw problemOf(error, response)
  }
}

/** Like unwrap, with the response's headers. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await call.catch((cause: unknown) => {
    throw new UnreachableError(cause)
  })
  if (data === undefined || !response.ok) {
    throw problemOf(error, response)
  }
  return { data, response }
}

/** Repeating a POST with the same key cannot do its work twice. */
export function idempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
