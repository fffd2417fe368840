import type { Problem } from './types.ts'

/** The server answered with a problem. */
export class ProblemError extends Error {
  override name = 'ProblemError'
  readonly problem: Problem
  /** From Retry-After; undefined without that header. */
  readonly retryAfterSeconds: number | undefined

  constructor(problem: Problem, retryAfterSeconds?: number) {
    super(problem.detail ?? problem.title)
    this.problem = problem
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The server did not answer: it is down, or the network is. */
export class UnreachableError extends Error {
  override name = 'UnreachableError'

  constructor(cause: unknown) {
    super('The server cannot be reached.', { cause })
  }
}

/** Makes a ProblemError of any response that is not a success, also of one that a proxy wrote. */
export function problemOf(body: unknown, response: Response): ProblemError {
  const problem: Problem = isProblem(body)
    ? body
    : {
        type: 'about:blank',
        title: response.statusText || 'Unexpected response',
        status: response.status,
        detail: `The server answered ${response.status} without a reason.`,
        code: `http_${response.status}`,
      }
  return new ProblemError(problem, retryAfter(response))
}

/** Reports whether the same request may succeed later: the request itself was not at fault. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ProblemError) {
    return error.problem.status === 429 || error.problem.status >= 500
  }
  return error instanceof UnreachableError
}

/** Returns the seconds of a Retry-After header. This server never sends its form with a date. */
export function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('Retry-After')
  const seconds = Number(header)
  return header !== null && Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}

function isProblem(body: unknown): body is Problem {
  return (
    typeof body === 'object' &&
    body !== null &&
    'title' in body &&
    typeof body.title === 'string' &&
    'status' in body &&
    typeof body.status === 'number' &&
    'code' in body &&
    typeof body.code === 'string'
  )
}
