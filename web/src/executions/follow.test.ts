import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { ProblemError, UnreachableError } from '../api/problem.ts'
import { post } from '../test/visit.tsx'
import { follow, type Sighting } from './follow.ts'

/** Plays its answers one after the other, and notes what was asked and how long was paused. */
class Script {
  readonly waits: (string | null)[] = []
  readonly pauses: number[] = []
  readonly answers: (() => Response)[]

  constructor(...answers: (() => Response)[]) {
    this.answers = answers
    vi.stubGlobal('fetch', (request: Request) => {
      this.waits.push(new URL(request.url).searchParams.get('wait'))
      const answer = this.answers.shift()
      return answer ? Promise.resolve().then(answer) : Promise.reject(new Error('asked once too often'))
    })
  }

  pause = (seconds: number) => {
    this.pauses.push(seconds)
    return Promise.resolve()
  }

  async follow(signal = new AbortController().signal): Promise<Sighting[]> {
    const sightings: Sighting[] = []
    for await (const sighting of follow('exe_1', signal, this.pause)) {
      sightings.push(sighting)
    }
    return sightings
  }
}

const seen =
  (status: string, headers = {}) =>
  () =>
    Response.json({ id: 'exe_1', status }, { headers })
const refused =
  (status: number, headers = {}) =>
  () =>
    problem({ status, title: 'No', code: `code_${status}` }, headers)
const cut = () => {
  throw new TypeError('Failed to fetch')
}

describe('follow', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('asks at once first, briefly while queued, long while running, and no more after the end', async () => {
    const script = new Script(seen('queued'), seen('queued'), seen('running'), seen('succeeded'))
    const sightings = await script.follow()
    expect(script.waits).toEqual([null, '2s', '2s', '30s'])
    expect(sightings).toMatchObject(
      ['queued', 'queued', 'running', 'succeeded'].map((status) => ({ execution: { status } })),
    )
  })

  test.each(['failed', 'timed_out', 'canceled'])('takes %s for an end', async (status) => {
    const script = new Script(seen(status))
    await script.follow()
    expect(script.waits).toHaveLength(1)
  })

  test('pauses where answers were not held, as long as the server asks', async () => {
    const script = new Script(
      seen('running'),
      seen('running'),
      seen('running', { 'Retry-After': '5' }),
      seen('failed'),
    )
    await script.follow()
    expect(script.pauses).toEqual([1, 5])
  })

  test('does not pause after an answer that was held', async () => {
    const held = () => {
      vi.advanceTimersByTime(30_000)
      return seen('running')()
    }
    const script = new Script(seen('running'), held, held, seen('succeeded'))
    await script.follow()
    expect(script.pauses).toEqual([])
  })

  test('goes on through a lost network with growing pauses, and starts over after a success', async () => {
    const cuts = Array.from({ length: 7 }, () => cut)
    const script = new Script(...cuts, seen('running'), cut, seen('succeeded'))
    const sightings = await script.follow()
    expect(script.pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 1])
    expect(sightings[0]).toEqual({ lost: expect.any(UnreachableError) as Error, nextTryInSeconds: 1 })
    expect(sightings.at(-1)).toMatchObject({ execution: { status: 'succeeded' } })
  })

  test('goes on through 429 and 503, no sooner than the server allows', async () => {
    const script = new Script(refused(429, { 'Retry-After': '7' }), refused(503), seen('succeeded'))
    await script.follow()
    expect(script.pauses).toEqual([7, 2])
  })

  test('ends with the problem that asking again cannot cure', async () => {
    const script = new Script(refused(404))
    await expect(script.follow()).rejects.toThrow(ProblemError)
    expect(script.pauses).toEqual([])
  })

  test('returns quietly when it is told to stop during a held request', async () => {
    const server = new StandIn()
    const sent = await post(server, '/api/conversation', { message: 'x' })
    const stop = new AbortController()
    vi.stubGlobal('fetch', async (request: Request) => {
      const answer = server.handle(request)
      if (request.url.includes('wait=')) {
        stop.abort()
        await answer
        request.signal.throwIfAborted()
      }
      return answer
    })
    const sightings: Sighting[] = []
    for await (const sighting of follow(sent['executionId'] ?? '', stop.signal)) {
      sightings.push(sighting)
    }
    expect(sightings).toHaveLength(1)
  })
})
