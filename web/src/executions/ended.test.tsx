import { screen, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import type { Execution } from '../api/types.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const saved: { name: string; content: Blob }[] = []

beforeEach(() => {
  let last: Blob
  URL.createObjectURL = (content) => {
    last = content as Blob
    return 'blob:content'
  }
  URL.revokeObjectURL = () => undefined
  vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
    saved.push({ name: this.download, content: last })
  })
})

afterEach(() => void saved.splice(0))

async function ended(change: Partial<Execution>) {
  const server = new StandIn()
  const agent = await post(server, '/agents', { name: 'A', instructions: 'x' })
  const { executionId = '' } = await post(server, `/agents/${agent['id'] ?? ''}/run`, { input: 'the input' })
  server.end(executionId, { result: { text: 'the beginning' } })
  const execution = server.executions.get(executionId)
  if (!execution) {
    throw new Error('the stand-in lost the execution')
  }
  server.executions.set(executionId, { ...execution, ...change })
  return { server, id: executionId }
}

describe('what an execution left', () => {
  test('is listed, and downloaded under its own name', async () => {
    const hash = 'ab'.repeat(32)
    const { server, id } = await ended({
      given: [{ path: 'in.csv', size: 1, sha256: hash }],
      files: [{ path: 'sub/<b>report.txt', size: 2048, sha256: hash, url: '' }],
      omittedFileCount: 2,
    })
    server.contents.set(`/executions/${id}/files/sub/<b>report.txt`, 'inside')
    const { user } = visit(`#/e/${id}`, server)
    const given = await screen.findByRole('region', { name: 'Files it was given' })
    expect(given).toHaveTextContent('in.csv1 byte')
    const files = screen.getByRole('region', { name: 'Files it left' })
    expect(files).toHaveTextContent('sub/<b>report.txt2.0 KiB')
    expect(files).toHaveTextContent('2 more were not kept')
    await user.click(within(files).getByRole('button', { name: 'Download sub/<b>report.txt' }))
    expect(saved.map(({ name }) => name)).toEqual(['<b>report.txt'])
    expect(await saved[0]?.content.text()).toBe('inside')
  })

  test('is said to be lost where it is', async () => {
    const { server, id } = await ended({ files: [{ path: 'gone', size: 1, sha256: '', url: '' }] })
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
    await user.click(await screen.findByRole('button', { name: 'Download gone' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('It is not in storage any more.')
    expect(saved).toHaveLength(0)
  })

  test('is shown from its beginning where the result is large, and is whole as a download', async () => {
    const { server, id } = await ended({
      result: { text: 'the beginning', truncated: true, size: 5 * 1024 * 1024, url: '' },
    })
    server.contents.set(`/executions/${id}/result`, '{"text":"the beginning and the end"}')
    const { user } = visit(`#/e/${id}`, server)
    expect(await screen.findByText(/a large result of 5.0 MiB/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Download the whole result' }))
    expect(saved[0]?.name).toBe(`${id}.json`)
    expect(await saved[0]?.content.text()).toContain('the end')
  })

  test('is told by its receipt, which can be kept', async () => {
    const receipt = {
      executor: 'host-1',
      sandbox: { container: 'airlock-1', settings: { image: 'img', runtime: 'runsc', network: 'none' } },
      egress: { calls: 3, denied: 1 },
      signature: { keyId: 'k1' },
    }
    const { server, id } = await ended({ receipt })
    const { user } = visit(`#/e/${id}`, server)
    const region = await screen.findByRole('region', { name: 'Receipt' })
    for (const said of ['with the key k1', 'host-1', 'airlock-1', 'runsc', 'none', '3 allowed, 1 denied']) {
      expect(region).toHaveTextContent(said)
    }
    expect(region).toHaveTextContent(`airlock receipt verify --key receipt.pub ${id}.receipt.json`)
    await user.click(within(region).getByRole('button', { name: 'Download the receipt' }))
    expect(JSON.parse((await saved[0]?.content.text()) ?? '')).toEqual(receipt)
  })

  test('has a receipt that nobody signed, of a form that the page does not know', async () => {
    const { server, id } = await ended({ receipt: { sandbox: 7, signature: null } })
    visit(`#/e/${id}`, server)
    expect(await screen.findByRole('region', { name: 'Receipt' })).toHaveTextContent('the server has no key')
  })
})

describe('what did not succeed', () => {
  const failure = { code: 'agent_error', message: 'It broke.' } as const

  test('is run again as an execution of its own', async () => {
    const { server, id } = await ended({ status: 'failed', error: failure })
    const { user } = visit(`#/e/${id}`, server)
    await user.click(await screen.findByRole('button', { name: 'Run again' }))
    const [, again] = [...server.executions.values()]
    expect(await screen.findByRole('heading', { level: 1, name: again?.id ?? '' })).toBeVisible()
    expect(await screen.findByRole('link', { name: 'What it repeats' })).toHaveAttribute('href', `#/e/${id}`)
  })

  test('says why it was not run again, and asks with the same key when asked once more', async () => {
    const { server, id } = await ended({ status: 'failed', error: failure })
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
    const asked = requests.filter(({ url }) => url.endsWith('/retry'))
    expect(asked).toHaveLength(2)
    expect(asked[0]?.headers.get('Idempotency-Key')).toBe(asked[1]?.headers.get('Idempotency-Key'))
  })
})
