import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import type { Execution } from '../api/types.ts'
import { collectDownloads } from '../test/downloads.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const saved = collectDownloads()

async function withFinishedExecution(change: Partial<Execution>) {
  const server = new StandIn()
  const agent = await post(server, '/agents', { name: 'A', instructions: 'x' })
  const { executionId = '' } = await post(server, `/agents/${agent['id'] ?? ''}/run`, { input: 'the input' })
  server.finish(executionId, { result: { text: 'the first part' } })
  const execution = server.executions.get(executionId)
  if (!execution) {
    throw new Error('the stand-in lost the execution')
  }
  server.executions.set(executionId, { ...execution, ...change })
  return { server, id: executionId }
}

describe('a finished execution', () => {
  test('lists its input and output files, and downloads a file under its own name', async () => {
    const hash = 'ab'.repeat(32)
    const { server, id } = await withFinishedExecution({
      inputFiles: [{ path: 'in.csv', size: 1, sha256: hash }],
      files: [{ path: 'sub/<b>report.txt', size: 2048, sha256: hash, url: '' }],
      omittedFileCount: 2,
    })
    server.contents.set(`/executions/${id}/files/sub/<b>report.txt`, 'inside')
    const { user } = visit(`#/e/${id}`, server)
    const inputFiles = await screen.findByRole('region', { name: 'Input files' })
    expect(inputFiles).toHaveTextContent('in.csv1 byte')
    const files = screen.getByRole('region', { name: 'Output files' })
    expect(files).toHaveTextContent('sub/<b>report.txt2.0 KiB')
    expect(files).toHaveTextContent('2 more were omitted')
    await user.click(within(files).getByRole('button', { name: 'Download sub/<b>report.txt' }))
    await waitFor(() => expect(saved.map(({ name }) => name)).toEqual(['<b>report.txt']))
    expect(await saved[0]?.content.text()).toBe('inside')
  })

  test('shows the working folder that the agent left, and downloads it', async () => {
    const { server, id } = await withFinishedExecution({
      workspace: { from: 'exe_before', size: 3 * 1024 * 1024, url: '' },
    })
    server.contents.set(`/executions/${id}/workspace`, 'packed')
    const { user } = visit(`#/e/${id}`, server)
    const folder = await screen.findByRole('region', { name: 'Working folder' })
    expect(folder).toHaveTextContent('3.0 MiB')
    expect(within(folder).getByRole('link')).toHaveAttribute('href', '#/e/exe_before')
    await user.click(within(folder).getByRole('button', { name: 'Download the working folder' }))
    await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([`${id}.tar.zst`]))
  })

  test('says why a working folder is not stored', async () => {
    const { server, id } = await withFinishedExecution({ workspace: { lost: 'too_large' } })
    visit(`#/e/${id}`, server)
    const folder = await screen.findByRole('region', { name: 'Working folder' })
    expect(folder).toHaveTextContent('not stored. They are larger than the operator allows.')
  })

  test('shows what the agent had said without a result', async () => {
    const { server, id } = await withFinishedExecution({
      status: 'canceled',
      error: { code: 'canceled', message: 'The execution was canceled.' },
      partialText: 'I write the report.',
    })
    visit(`#/e/${id}`, server)
    const said = await screen.findByRole('region', { name: 'What the agent had said' })
    expect(said).toHaveTextContent('I write the report.')
  })

  test('shows the error of a lost file', async () => {
    const { server, id } = await withFinishedExecution({
      files: [{ path: 'lost', size: 1, sha256: '', url: '' }],
    })
    const { user } = visit(`#/e/${id}`, server, ({ url }) =>
      url.includes('/files/')
        ? problem({
            status: 410,
            title: 'Gone',
            code: 'artifact_lost',
            detail: 'It is not in storage any more.',
          })
        : undefined,
    )
    await user.click(await screen.findByRole('button', { name: 'Download lost' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('It is not in storage any more.')
    expect(saved).toHaveLength(0)
  })

  test('shows the first part of a large result, and downloads the complete one', async () => {
    const { server, id } = await withFinishedExecution({
      result: { text: 'the first part', truncated: true, size: 5 * 1024 * 1024, url: '' },
    })
    server.contents.set(`/executions/${id}/result`, '{"text":"the first part and the end"}')
    const { user } = visit(`#/e/${id}`, server)
    expect(await screen.findByText(/a large result of 5.0 MiB/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Download the complete result' }))
    await waitFor(() => expect(saved[0]?.name).toBe(`${id}.json`))
    expect(await saved[0]?.content.text()).toContain('the end')
  })

  test('shows its attempts when it has several', async () => {
    const { server, id } = await withFinishedExecution({ attempt: 3 })
    const usage = { inputTokens: 0, outputTokens: 0, costUsd: 0, calls: 0 }
    const claimedAt = '2026-01-02T03:04:05Z'
    const endedAt = '2026-01-02T03:04:07Z'
    server.attempts.set(id, {
      omitted: 1,
      attempts: [
        {
          number: 2,
          executor: 'host-1',
          claimedAt,
          endedAt,
          outcome: 'start_failed',
          detail: 'no image',
          usage,
        },
        { number: 3, executor: 'host-2', claimedAt, endedAt, outcome: 'timed_out', code: 'timed_out', usage },
      ],
    })
    visit(`#/e/${id}`, server)
    const attempts = await screen.findByRole('region', { name: 'Attempts' })
    expect(attempts).toHaveTextContent('Older attempts that are not kept: 1')
    expect(attempts).toHaveTextContent(/2 · host-1did not start: no image.*ended after 2.0 s/)
    expect(attempts).toHaveTextContent(/3 · host-2timed outclaimed/)
  })

  test('shows what it used its network for', async () => {
    const { server, id } = await withFinishedExecution({
      network: {
        hosts: [{ host: 'pypi.org', connections: 1, sentBytes: 2048, receivedBytes: 3145728 }],
        refused: ['evil.example.org:443'],
      },
    })
    visit(`#/e/${id}`, server)
    const facts = await screen.findByRole('region', { name: 'Facts' })
    expect(facts).toHaveTextContent(/pypi\.org1 connection, 2\.0 KiB sent, 3\.0 MiB received/)
    expect(facts).toHaveTextContent('not reached: evil.example.org:443')
  })

  test('shows its receipt, and downloads it', async () => {
    const receipt = {
      executor: 'host-1',
      sandbox: { container: 'airlock-1', settings: { image: 'img', runtime: 'runsc', network: 'none' } },
      egress: { calls: 3, denied: 1 },
      signature: { keyId: 'k1' },
    }
    const { server, id } = await withFinishedExecution({ receipt })
    const { user } = visit(`#/e/${id}`, server)
    const region = await screen.findByRole('region', { name: 'Receipt' })
    for (const text of ['with key k1', 'host-1', 'airlock-1', 'runsc', 'none', '3 allowed, 1 denied']) {
      expect(region).toHaveTextContent(text)
    }
    expect(region).toHaveTextContent(`airlock receipt verify --key receipt.pub ${id}.receipt.json`)
    await user.click(within(region).getByRole('button', { name: 'Download the receipt' }))
    await waitFor(() => expect(saved).toHaveLength(1))
    expect(JSON.parse((await saved[0]?.content.text()) ?? '')).toEqual(receipt)
  })

  test('shows an unsigned receipt of an unknown form', async () => {
    const { server, id } = await withFinishedExecution({ receipt: { sandbox: 7, signature: null } })
    visit(`#/e/${id}`, server)
    expect(await screen.findByRole('region', { name: 'Receipt' })).toHaveTextContent('the server has no key')
  })
})

describe('a failed execution', () => {
  const failure = { code: 'agent_error', message: 'The agent failed.' } as const

  test('is retried as a new execution', async () => {
    const { server, id } = await withFinishedExecution({ status: 'failed', error: failure })
    const { user } = visit(`#/e/${id}`, server)
    await user.click(await screen.findByRole('button', { name: 'Run again' }))
    await waitFor(() => expect(server.executions.size).toBe(2))
    const [, retry] = [...server.executions.values()]
    expect(await screen.findByRole('heading', { level: 1, name: retry?.id ?? '' })).toBeVisible()
    expect(await screen.findByRole('link', { name: 'Original execution' })).toHaveAttribute(
      'href',
      `#/e/${id}`,
    )
  })

  test('shows why its retry was rejected, and sends the second retry with the same key', async () => {
    const { server, id } = await withFinishedExecution({ status: 'failed', error: failure })
    const { user, requests } = visit(`#/e/${id}`, server, (request) =>
      isPost(request, `/executions/${id}/retry`)
        ? problem({
            status: 503,
            title: 'Unavailable',
            code: 'unavailable',
            detail: 'Try again in a moment.',
          })
        : undefined,
    )
    const button = await screen.findByRole('button', { name: 'Run again' })
    await user.click(button)
    expect(await screen.findByRole('alert')).toHaveTextContent('Try again in a moment.')
    await user.click(button)
    const sentRetries = () => requests.filter(({ url }) => url.endsWith('/retry'))
    await waitFor(() => expect(sentRetries()).toHaveLength(2))
    const retries = sentRetries()
    expect(retries[0]?.headers.get('Idempotency-Key')).toBe(retries[1]?.headers.get('Idempotency-Key'))
  })
})
