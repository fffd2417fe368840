import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { ProblemError, UnreachableError } from '../api/problem.ts'
import { post } from '../test/visit.tsx'
import { follow, type Update } from './follow.ts'

/** Returns its responses one after the other, and records the waits of the requests and the pauses between them. */
class Script {
  readonly waits: (string | null)[] = []
  readonly pauses: number[] = []
  readonly responses: (() => Response)[]

  constructor(...responses: (() => Response)[]) {
    this.responses = responses
    vi.stubGlobal('fetch', (request: Request) => {
      this.waits.push(new URL(request.url).searchParams.get('wait'))
      const respond = this.responses.shift()
      return respond ? Promise.resolve().then(respond) : Promise.reject(new Error('one request too many'))
    })
  }

  pause = (seconds: number) => {
    this.pauses.push(seconds)
    return Promise.resolve()
  }

  async follow(signal = new AbortController().signal): Promise<Update[]> {
    const updates: Update[] = []
    for await (const update of follow('exe_1', signal, this.pause)) {
      updates.push(update)
    }
    return updates
  }
}

const execution =
  (status: string, headers = {}) =>
  () =>
    Response.json({ id: 'exe_1', status }, { headers })
const failure =
  (status: number, headers = {}) =>
  () =>
    problem({ status, title: 'No', code: `code_${status}` }, headers)
const disconnect = () => {
  throw new TypeError('Failed to fetch')
}

describe('follow', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('first reads without a wait, then waits briefly while queued and long while running', async () => {
    const script = new Script(
      execution('queued'),
      execution('queued'),
      execution('running'),
      execution('succeeded'),
    )
    const updates = await script.follow()
    expect(script.waits).toEqual([null, '2s', '2s', '30s'])
    expect(updates).toMatchObject(
      ['queued', 'queued', 'running', 'succeeded'].map((status) => ({ execution: { status } })),
    )
  })

  test.each(['failed', 'timed_out', 'canceled'])('stops after %s', async (status) => {
    const script = new Script(execution(status))
    await script.follow()
    expect(script.waits).toHaveLength(1)
  })

  test('pauses after a long poll that did not wait, at least for Retry-After', async () => {
    const script = new Script(
      execution('running'),
      execution('running'),
      execution('running', { 'Retry-After': '5' }),
      execution('failed'),
    )
    await script.follow()
    expect(script.pauses).toEqual([1, 5])
  })

  test('does not pause after a long poll that waited', async () => {
    const delayed = () => {
      vi.advanceTimersByTime(30_000)
      return execution('running')()
    }
    const script = new Script(execution('running'), delayed, delayed, execution('succeeded'))
    await script.follow()
    expect(script.pauses).toEqual([])
  })

  test('repeats while the network is down, with growing pauses that a success resets', async () => {
    const disconnects = Array.from({ length: 7 }, () => disconnect)
    const script = new Script(...disconnects, execution('running'), disconnect, execution('succeeded'))
    const updates = await script.follow()
    expect(script.pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 1])
    expect(updates[0]).toEqual({ connectionError: expect.any(UnreachableError) as Error, retryInSeconds: 1 })
    expect(updates.at(-1)).toMatchObject({ execution: { status: 'succeeded' } })
  })

  test('repeats after 429 and 503, no sooner than Retry-After', async () => {
    const script = new Script(failure(429, { 'Retry-After': '7' }), failure(503), execution('succeeded'))
    await script.follow()
    expect(script.pauses).toEqual([7, 2])
  })

  test('throws a problem that is not transient', async () => {
    const script = new Script(failure(404))
    await expect(script.follow()).rejects.toThrow(ProblemError)
    expect(script.pauses).toEqual([])
  })

  test('returns without an error when the signal aborts during a long poll', async () => {
    const server = new StandIn()
    const sent = await post(server, '/api/conversation', { message: 'x' })
    const stop = new AbortController()
    vi.stubGlobal('fetch', async (request: Request) => {
      const response = server.handle(request)
      if (request.url.includes('wait=')) {
        stop.abort()
        await response
        request.signal.throwIfAborted()
      }
      return response
    })
    const updates: Update[] = []
    for await (const update of follow(sent['executionId'] ?? '', stop.signal)) {
      updates.push(update)
    }
    expect(updates).toHaveLength(1)
  })
})
