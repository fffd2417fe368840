import { expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { Transcripts } from '../../dev/transcripts.ts'
import { ProblemError } from '../api/problem.ts'
import { followTranscript, readPart, type TranscriptPosition, type TranscriptUpdate } from './read.ts'

const id = 'exe_1'

/** Serves a transcript. Each request is taken by the first response that is left, or else by the transcript. */
function serve(finished: boolean, ...responses: ((request: Request) => Response)[]) {
  const transcripts = new Transcripts()
  const requests: string[] = []
  vi.stubGlobal('fetch', (request: Request) => {
    requests.push(request.headers.get('Range') ?? new URL(request.url).search)
    const respond = responses.shift() ?? ((r: Request) => transcripts.respond(id, r, finished))
    return Promise.resolve(request).then(respond)
  })
  return { transcripts, requests }
}

async function followed(finished: boolean, position: TranscriptPosition = { current: undefined }) {
  const updates: TranscriptUpdate[] = []
  const pause = () => Promise.resolve()
  for await (const update of followTranscript(id, position, finished, new AbortController().signal, pause)) {
    updates.push(update)
  }
  const lines = updates.flatMap((update) =>
    'newest' in update ? update.newest.lines : 'added' in update ? update.added : [],
  )
  return { updates, texts: lines.map(({ item }) => item.text) }
}

test('the transcript of a finished execution is read once', async () => {
  const { transcripts, requests } = serve(true)
  transcripts.add(id, { type: 'text', text: 'ä' }, { type: 'end', text: 'succeeded' })
  expect((await followed(true)).texts).toEqual(['ä', 'succeeded'])
  expect(requests).toEqual(['bytes=-2097152'])
})

test('an empty transcript has no lines', async () => {
  serve(true)
  expect((await followed(true)).texts).toEqual([])
  expect((await followed(false)).texts).toEqual([])
})

test('after an interruption it continues behind the last whole line', async () => {
  const line = (text: string) =>
    `${JSON.stringify({ number: 1, attempt: 1, time: '', type: 'text', text })}\n`
  const one = line('one').length
  const chunks = [`\n${line('two')}${line('three').slice(0, 20)}`]
  const cut = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          const chunk = chunks.shift()
          if (chunk === undefined) {
            controller.error(new TypeError('connection reset'))
          } else {
            controller.enqueue(new TextEncoder().encode(chunk))
          }
        },
      }),
    )
  const { requests } = serve(
    false,
    () => new Response(line('one')),
    cut,
    () => problem({ status: 503, title: 'No', code: 'unavailable' }),
    () => new Response(`${line('three')}not JSON\n{}\n`),
  )
  const { texts, updates } = await followed(false)
  expect(texts).toEqual(['one', 'two', 'three'])
  expect(requests).toEqual([
    'bytes=-2097152',
    `?follow=true&offset=${one}`,
    `?follow=true&offset=${2 * one}`,
    `?follow=true&offset=${2 * one}`,
  ])
  const connections = updates.flatMap((update) => ('connected' in update ? [update.connected] : []))
  expect(connections).toEqual([true, false, false, true])
})

test('a problem that is not transient is thrown', async () => {
  serve(false, () => problem({ status: 410, title: 'Gone', code: 'artifact_lost' }))
  await expect(followed(false)).rejects.toThrow(ProblemError)
})

test('parts that are read backwards make up the whole transcript', async () => {
  const { transcripts, requests } = serve(true)
  const texts = Array.from({ length: 100 }, (_, i) => `${i} ${'ä'.repeat(32_000)}`)
  transcripts.add(id, ...texts.map((text) => ({ type: 'text', text })))
  const read: (string | undefined)[] = []
  for (let end: number | undefined; end !== 0;) {
    const part = await readPart(id, end)
    expect(end ?? part.end).toBe(part.end)
    read.unshift(...part.lines.map(({ item }) => item.text))
    end = part.start
  }
  expect(read).toEqual(texts)
  expect(requests.length).toBeGreaterThan(3)
})
