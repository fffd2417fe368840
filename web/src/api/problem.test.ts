import { describe, expect, test } from 'vitest'
import { isTransient, ProblemError, problemOf, UnreachableError } from './problem.ts'

const response = (status: number, headers = {}) => new Response(null, { status, headers })

describe('problemOf', () => {
  test("takes over the server's problem", () => {
    const body = {
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      code: 'not_found',
      detail: 'No such agent.',
    }
    const error = problemOf(body, response(404))
    expect(error.problem).toEqual(body)
    expect(error.message).toBe('No such agent.')
  })

  test('uses the title as the message without a detail', () => {
    expect(problemOf({ title: 'Gone', status: 410, code: 'gone' }, response(410)).message).toBe('Gone')
  })

  test.each([
    undefined,
    null,
    '<html>Bad Gateway</html>',
    { message: 'x' },
    { title: 1, status: 2, code: 3 },
  ])('makes a problem of the body %j, which is no problem document', (body) => {
    const { problem } = problemOf(body, response(502))
    expect(problem).toMatchObject({ status: 502, code: 'http_502' })
    expect(problem.detail).toBe('The server answered 502 without a reason.')
  })

  test.each([
    ['3', 3],
    ['0', 0],
    ['-1', undefined],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ])('reads Retry-After: %s as %s', (header, seconds) => {
    expect(problemOf(undefined, response(429, { 'Retry-After': header })).retryAfterSeconds).toBe(seconds)
  })
})

test.each([
  [400, false],
  [404, false],
  [422, false],
  [429, true],
  [500, true],
  [503, true],
])('status %i is transient: %s', (status, transient) => {
  expect(isTransient(new ProblemError({ type: '', title: '', status, code: '' }))).toBe(transient)
})

test('an unreachable server is transient, and an error of the page is not', () => {
  expect(isTransient(new UnreachableError(new TypeError()))).toBe(true)
  expect(isTransient(new TypeError('x is undefined'))).toBe(false)
})
