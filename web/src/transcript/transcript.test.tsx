import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { transcriptOf } from '../../dev/transcriptSamples.ts'
import type { NewItem } from '../../dev/transcripts.ts'
import { collectDownloads } from '../test/downloads.ts'
import { post, visit } from '../test/visit.tsx'

/** A stand-in with a running execution. */
async function withRunning(...items: NewItem[]) {
  const server = new StandIn()
  const { executionId: id = '' } = await post(server, '/api/conversation', { message: 'the question' })
  server.start(id, items.at(-1)?.attempt)
  server.transcripts.add(id, ...items)
  return { server, id }
}

async function withFinished(...items: NewItem[]) {
  const { server, id } = await withRunning(...items)
  server.finish(id, { result: { text: 'the answer' } })
  return { server, id }
}

const findTranscript = () => screen.findByRole('region', { name: 'Transcript' })

function texts(list: HTMLElement): (string | null)[] {
  return [...list.children].map((item) => item.textContent)
}

describe('the transcript of a coding agent', () => {
  async function visitCoding() {
    const { server, id } = await withFinished(...transcriptOf('coding'))
    const { user } = visit(`#/e/${id}`, server)
    return { user, transcript: within(await findTranscript()) }
  }

  test('shows texts as text, and tools in one line with their main input', async () => {
    const { transcript } = await visitCoding()
    expect(transcript.getByText(/<b>Parse<\/b> now knows hours/)).toBeVisible()
    expect(transcript.getByRole('button', { name: /^Read .*\/parse\.go 2\.3 s$/ })).toBeVisible()
    expect(transcript.getByRole('button', { name: /^Edit \/workspace/ })).toBeVisible()
    expect(transcript.getByText(/the model is busy/)).toBeVisible()
    expect(transcript.getByText('Ended: succeeded')).toBeVisible()
    expect(transcript.queryByRole('heading', { name: 'Attempt 1' })).not.toBeInTheDocument()
  })

  test('opens a tool call to its whole input and its result, by the keyboard', async () => {
    const { user, transcript } = await visitCoding()
    const call = transcript.getByRole('button', { name: 'Bash go test ./... … failed' })
    expect(call).toHaveAttribute('aria-expanded', 'false')
    expect(transcript.queryByText(/FAIL: TestParse/)).not.toBeInTheDocument()
    call.focus()
    await user.keyboard('{Enter}')
    expect(call).toHaveAttribute('aria-expanded', 'true')
    expect(transcript.getByText(/git status --short/)).toBeVisible()
    expect(transcript.getByText('Error')).toBeVisible()
    expect(transcript.getByText(/FAIL: TestParse/)).toBeVisible()
    await user.keyboard(' ')
    expect(transcript.queryByText(/FAIL: TestParse/)).not.toBeInTheDocument()
  })

  test('says that a result is cut', async () => {
    const { user, transcript } = await visitCoding()
    await user.click(transcript.getByRole('button', { name: /^Read/ }))
    expect(transcript.getByText('Cut: only the first 64 KiB are recorded.')).toBeVisible()
  })

  test('hides what the agent thought until it is asked for', async () => {
    const { user, transcript } = await visitCoding()
    expect(transcript.queryByText(/It may be the unit/)).not.toBeInTheDocument()
    await user.click(transcript.getByRole('button', { name: /^Thought/ }))
    expect(transcript.getByText(/It may be the unit/)).toBeVisible()
  })

  test('shows a sub-agent under its call', async () => {
    const { transcript } = await visitCoding()
    const sub = transcript.getByRole('list', { name: 'Sub-agent of Task' })
    expect(texts(sub)).toEqual([
      expect.stringMatching(/^▸Grep/),
      'There are two callers. Both handle errors.',
    ])
  })

  test('is reached by a button of the header', async () => {
    const { user } = await visitCoding()
    await user.click(screen.getByRole('button', { name: 'Transcript' }))
    expect(await findTranscript()).toHaveFocus()
  })
})

test('a canceled run shows the tool that had no result', async () => {
  const { server, id } = await withRunning(...transcriptOf('canceled'))
  server.finish(id, {
    status: 'canceled',
    error: { code: 'canceled', message: 'The execution was canceled.' },
  })
  const execution = server.executions.get(id)
  if (execution) {
    server.executions.set(id, { ...execution, partialText: 'I compare the two reports.' })
  }
  const { user } = visit(`#/e/${id}`, server)
  const transcript = within(await findTranscript())
  await user.click(transcript.getByRole('button', { name: /^Bash sleep 600.* no result$/ }))
  expect(transcript.getByText('None: the attempt ended first.')).toBeVisible()
  expect(transcript.getByText('Ended: canceled: The execution was canceled.')).toBeVisible()
  // The transcript has it already.
  expect(screen.queryByRole('region', { name: 'What the agent had said' })).not.toBeInTheDocument()
})

test('attempts are apart, and a killed one has no end', async () => {
  const { server, id } = await withFinished(...transcriptOf('killed'))
  visit(`#/e/${id}`, server)
  const transcript = within(await findTranscript())
  expect(transcript.getAllByRole('heading', { level: 3 }).map((h) => h.textContent)).toEqual([
    'Attempt 1',
    'Attempt 2',
  ])
  expect(texts(transcript.getByRole('list', { name: 'Attempt 1' }))[0]).toBe('I fetch the numbers.')
  expect(transcript.getByText('No end is recorded: the attempt lost its executor.')).toBeVisible()
  expect(transcript.getAllByText(/^Ended:/)).toHaveLength(1)
})

describe('while the execution runs', () => {
  test('the transcript follows, also after an interruption, and then shows the end', async () => {
    const { server, id } = await withRunning({ type: 'text', text: 'first' })
    visit(`#/e/${id}`, server)
    const transcript = within(await findTranscript())
    await waitFor(() => expect(server.transcripts.openAt(id)).toBe(1))
    server.transcripts.add(id, { type: 'tool_call', call: 'a', tool: 'Bash', input: { command: 'ls' } })
    expect(await transcript.findByRole('button', { name: 'Bash ls running…' })).toBeVisible()
    server.transcripts.end(id, new TypeError('connection reset'))
    expect(await transcript.findByText(/The connection is interrupted/)).toBeVisible()
    server.transcripts.add(id, { type: 'tool_result', call: 'a', text: 'out', time: '2000-01-01T00:00:00Z' })
    window.dispatchEvent(new Event('online'))
    expect(await transcript.findByRole('button', { name: 'Bash ls' })).toBeVisible()
    expect(transcript.queryByText(/The connection is interrupted/)).not.toBeInTheDocument()
    expect(transcript.queryByText(/^(Ended|No end)/)).not.toBeInTheDocument()
    server.transcripts.add(id, { type: 'end', text: 'succeeded' })
    server.finish(id, { result: { text: 'the answer' } })
    expect(await transcript.findByText('Ended: succeeded')).toBeVisible()
    expect(texts(transcript.getByRole('list', { name: 'Attempt 1' }))).toEqual(['first', '▸Bash ls '])
  })

  test('nothing is read before the first attempt', async () => {
    const server = new StandIn()
    const { executionId: id = '' } = await post(server, '/api/conversation', { message: 'the question' })
    const { requests } = visit(`#/e/${id}`, server)
    expect(await screen.findByText('the question')).toBeVisible()
    expect(requests.filter(({ url }) => url.includes('/transcript'))).toHaveLength(0)
    server.start(id)
    server.transcripts.add(id, { type: 'text', text: 'first' })
    expect(within(await findTranscript()).getByText('first')).toBeVisible()
  })
})

describe('a long transcript', () => {
  const log = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ type: 'output', text: `line ${i + 1}` }))

  test('shows the newest 500 items, and earlier ones by a button', async () => {
    const { server, id } = await withFinished(...log(700))
    const { user } = visit(`#/e/${id}`, server)
    const transcript = within(await findTranscript())
    expect(transcript.getByText(/the newest 500 items/)).toBeVisible()
    expect(texts(transcript.getByRole('list'))[0]).toBe('line 201')
    await user.click(transcript.getByRole('button', { name: 'Show earlier items' }))
    await waitFor(() => expect(texts(transcript.getByRole('list'))[0]).toBe('line 1'))
    expect(transcript.queryByRole('button', { name: 'Show earlier items' })).not.toBeInTheDocument()
  })

  test('reads earlier parts from the server, and tries again', async () => {
    const text = 'x'.repeat(60_000)
    const { server, id } = await withFinished(
      ...Array.from({ length: 40 }, (_, i) => ({ type: 'text', text: `${i + 1} ${text}` })),
    )
    const { user, intercept } = visit(`#/e/${id}`, server)
    const transcript = within(await findTranscript())
    expect(transcript.queryByText(/^1 x/)).not.toBeInTheDocument()
    intercept(({ headers }) =>
      headers.has('Range')
        ? problem({ status: 503, title: 'No', code: 'unavailable', detail: 'Not now.' })
        : undefined,
    )
    const button = transcript.getByRole('button', { name: 'Show earlier items' })
    await user.click(button)
    expect(await transcript.findByRole('alert')).toHaveTextContent('Not now.')
    intercept(() => undefined)
    await user.click(button)
    const first = await transcript.findByText(/^1 x/)
    expect(first.textContent.length).toBeLessThan(10_000) // a long text is shown in part
    const [whole] = transcript.getAllByRole('button', { name: 'Show the whole text' })
    await user.click(whole as HTMLElement)
    expect(transcript.getByText(`1 ${text}`)).toBeVisible()
  })
})

describe('without a transcript', () => {
  test('an execution shows what its agent had said', async () => {
    const { server, id } = await withFinished()
    const execution = server.executions.get(id)
    if (execution) {
      server.executions.set(id, { ...execution, partialText: 'I write the report.' })
    }
    visit(`#/e/${id}`, server)
    expect(await screen.findByRole('region', { name: 'What the agent had said' })).toBeVisible()
    expect(screen.queryByRole('region', { name: 'Transcript' })).not.toBeInTheDocument()
    expect(screen.queryByRole('button', { name: 'Transcript' })).not.toBeInTheDocument()
  })

  test('a deleted one is not asked for, and the page says when it was deleted', async () => {
    const { server, id } = await withFinished({ type: 'text', text: 'secret' })
    const execution = server.executions.get(id)
    if (execution) {
      const deleted = { transcriptDeletedAt: '2026-01-02T03:04:05Z', partialText: 'I write the report.' }
      server.executions.set(id, { ...execution, ...deleted })
    }
    const { requests } = visit(`#/e/${id}`, server)
    const transcript = within(await findTranscript())
    expect(
      transcript.getByText(/^The transcript was deleted on .*2026.*: its retention is over\.$/),
    ).toBeVisible()
    expect(transcript.queryByRole('alert')).not.toBeInTheDocument()
    expect(transcript.queryByRole('button')).not.toBeInTheDocument()
    expect(screen.getByText('Transcript deleted')).toBeVisible()
    expect(screen.getByRole('region', { name: 'What the agent had said' })).toBeVisible()
    expect(requests.filter(({ url }) => url.includes('/transcript'))).toEqual([])
  })

  test('one that has expired is no error', async () => {
    const { server, id } = await withFinished()
    visit(`#/e/${id}`, server, ({ url }) =>
      url.includes('/transcript')
        ? problem({ status: 410, title: 'Gone', code: 'transcript_deleted', detail: 'It expired at noon.' })
        : undefined,
    )
    const transcript = within(await findTranscript())
    expect(transcript.getByText('It expired at noon.')).toBeVisible()
    expect(transcript.queryByRole('alert')).not.toBeInTheDocument()
  })

  test('an execution says until when it has one', async () => {
    const { server, id } = await withFinished({ type: 'text', text: 'still there' })
    const execution = server.executions.get(id)
    if (execution) {
      server.executions.set(id, { ...execution, transcriptExpiresAt: '2026-01-02T03:04:05Z' })
    }
    visit(`#/e/${id}`, server)
    expect(within(await findTranscript()).getByText('still there')).toBeVisible()
    expect(screen.getByText('Transcript until')).toBeVisible()
  })

  test('a lost one shows the error', async () => {
    const { server, id } = await withFinished()
    visit(`#/e/${id}`, server, ({ url }) =>
      url.includes('/transcript')
        ? problem({ status: 410, title: 'Gone', code: 'artifact_lost', detail: 'It is lost.' })
        : undefined,
    )
    expect(within(await findTranscript()).getByRole('alert')).toHaveTextContent('It is lost.')
  })
})

describe('Download', () => {
  const saved = collectDownloads()

  test('saves the whole transcript', async () => {
    const { server, id } = await withFinished(
      ...Array.from({ length: 600 }, (_, i) => ({ type: 'text', text: `${i}` })),
    )
    const { user } = visit(`#/e/${id}`, server)
    await user.click(await screen.findByRole('button', { name: 'Download the whole transcript' }))
    await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([`${id}.transcript.jsonl`]))
    expect((await saved[0]?.content.text())?.trimEnd().split('\n')).toHaveLength(600)
  })
})
