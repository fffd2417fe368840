import { describe, expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { api } from './client.ts'
import { ProblemError } from './problem.ts'
import { followEvents, type Open, type Position, type StreamUpdate } from './serverEvents.ts'

const open: Open = (headers, signal) =>
  api.GET('/events', { params: { header: headers }, parseAs: 'stream', signal })

/** Follows responses, one after the other, and aborts during the request after the last one. */
async function followResponses(...responses: (() => Response)[]) {
  const stop = new AbortController()
  const lastIds: (string | null)[] = []
  const pauses: number[] = []
  vi.stubGlobal('fetch', (request: Request) => {
    const respond = responses.shift()
    if (!respond) {
      stop.abort()
      return Promise.reject(new Error('aborted'))
    }
    lastIds.push(request.headers.get('Last-Event-ID'))
    return Promise.resolve().then(respond)
  })
  const pause = (seconds: number) => {
    pauses.push(seconds)
    return Promise.resolve()
  }
  const position: Position = { current: undefined }
  const updates: StreamUpdate[] = []
  for await (const update of followEvents(open, position, stop.signal, pause)) {
    updates.push(update)
  }
  const events = updates.flatMap((update) => ('event' in update ? [update.event] : []))
  return { updates, events, lastIds, pauses, position }
}

const encode = (text: string) => new TextEncoder().encode(text)

const stream =
  (...chunks: (string | Uint8Array)[]) =>
  () =>
    new Response(
      new ReadableStream({
        start(controller) {
          chunks.forEach((chunk) => controller.enqueue(typeof chunk === 'string' ? encode(chunk) : chunk))
          controller.close()
        },
      }),
    )
const failure =
  (status: number, headers = {}) =>
  () =>
    problem({ status, title: 'No', code: `code_${status}` }, headers)
const disconnect = () => {
  throw new TypeError('Failed to fetch')
}

describe('followEvents', () => {
  test('reads events, in whatever parts they arrive', async () => {
    const text =
      'id: a-0\n\nid: a-1\nevent: change\ndata: {"text":"x: y ä"}\n\n:\n\nid: a-2\nevent: reload\ndata: {}\n\n'
    const bytes = Array.from(encode(text), (byte) => Uint8Array.of(byte))
    const { events } = await followResponses(stream(...bytes))
    expect(events).toEqual([
      { id: 'a-0', name: '', data: '' },
      { id: 'a-1', name: 'change', data: '{"text":"x: y ä"}' },
      { id: 'a-1', name: '', data: '' },
      { id: 'a-2', name: 'reload', data: '{}' },
    ])
  })

  test('continues behind the last whole event', async () => {
    const { lastIds, position, updates } = await followResponses(
      stream('id: 1\n\n'),
      stream('id: 2\nevent: change\ndata: {}\n\n', 'id: 3\nevent: cha'),
      stream(),
    )
    expect(lastIds).toEqual([null, '1', '2'])
    expect(position.current).toBe('2')
    expect(updates.filter((update) => 'connected' in update)).toEqual(
      [true, false, true, false, true, false].map((connected) => ({ connected })),
    )
  })

  test('pauses longer after each failure, and no shorter than Retry-After', async () => {
    const { pauses, updates } = await followResponses(
      disconnect,
      failure(503, { 'Retry-After': '9' }),
      failure(503),
      stream('id: 1\n\n'), // ends at once, which is a failure too
    )
    expect(pauses).toEqual([1, 9, 4, 8])
    expect(updates.slice(0, 3)).toEqual([{ connected: false }, { connected: false }, { connected: false }])
  })

  test('pauses shortly again after a connection that lasted', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(0)
    const lasting = () => {
      clock.mockReturnValue(60_000)
      return stream('id: 1\n\n')()
    }
    const { pauses } = await followResponses(disconnect, disconnect, lasting, disconnect)
    expect(pauses.slice(0, 4)).toEqual([1, 2, 1, 2])
  })

  test('throws a problem that is not transient', async () => {
    await expect(followResponses(failure(403))).rejects.toThrow(ProblemError)
  })
})
