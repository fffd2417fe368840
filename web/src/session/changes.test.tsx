import { act, screen, waitFor, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { post, visit, type Intercept } from '../test/visit.tsx'
import { signIn, signOut } from './session.ts'

const isPath = (path: string) => (request: Request) => new URL(request.url).pathname === path

async function visitExecutions(initial?: Intercept) {
  const server = new StandIn()
  await post(server, '/agents', { name: 'Echo', instructions: 'x' })
  const page = visit('#/e', server, initial)
  await screen.findByText('No executions yet')
  return {
    ...page,
    runs: () => page.requests.filter(isPath('/executions')).length,
    streams: () => page.requests.filter(isPath('/events')),
    run: (input: string) => post(server, '/agents/agt_0001/run', { input }),
    listed: (input: string) =>
      within(screen.getByRole('main')).findByRole('link', { name: new RegExp(input) }),
  }
}

function setVisibility(state: 'visible' | 'hidden') {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state)
  act(() => void document.dispatchEvent(new Event('visibilitychange')))
}

beforeEach(() => signIn('alk_first'))
afterEach(() => {
  vi.useRealTimers()
  signOut()
})

describe('the page', () => {
  test('shows at once what another client starts, and how it ends', async () => {
    const { server, run, listed } = await visitExecutions()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    const { executionId = '' } = await run('of another client')
    expect(await listed('of another client')).toHaveTextContent('Queued')
    server.start(executionId)
    server.finish(executionId, { result: { text: 'done' } })
    await waitFor(async () => expect(await listed('of another client')).toHaveTextContent('Succeeded'))
  })

  test('reads a list seldom during many changes, and does not miss the last one', async () => {
    const { server, run, listed, runs } = await visitExecutions()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    const before = runs()
    for (let i = 0; i < 100; i++) {
      await run(`run ${i};`)
    }
    await listed('run 99;')
    expect(runs() - before).toBeLessThanOrEqual(4)
  })

  test('reads everything again when the server says that changes may be missing', async () => {
    const { server, listed } = await visitExecutions()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    const tell = vi.spyOn(server.events, 'send').mockReturnValue()
    await post(server, '/agents/agt_0001/run', { input: 'unknown' })
    tell.mockRestore()
    server.events.send('/events', 'reload', {})
    await listed('unknown')
  })

  test('has no stream while its tab is hidden, and continues when it is visible again', async () => {
    const { server, streams, run, listed } = await visitExecutions()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    setVisibility('hidden')
    await waitFor(() => expect(server.events.openAt('/events')).toBe(0))
    setVisibility('visible')
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    expect(streams().map((request) => request.headers.get('Last-Event-ID'))).toEqual([null, '0'])
    await run('after that')
    await listed('after that')
  })

  test('begins a new stream for another key', async () => {
    const { server, user, streams } = await visitExecutions((request) =>
      request.headers.has('Authorization') ? undefined : problem({ status: 401, title: 'No', code: 'no' }),
    )
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    await user.click(screen.getByRole('button', { name: 'Sign out' }))
    await waitFor(() => expect(server.events.openAt('/events')).toBe(0))
    await user.type(screen.getByLabelText('API key'), 'alk_other{Enter}')
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    expect(streams().map(({ headers }) => headers.get('Authorization'))).toEqual([
      'Bearer alk_first',
      'Bearer alk_other',
    ])
    expect(streams().every(({ headers }) => !headers.has('Last-Event-ID'))).toBe(true)
  })

  test('ends its stream when it is closed', async () => {
    const { server, unmount } = await visitExecutions()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(1))
    unmount()
    await waitFor(() => expect(server.events.openAt('/events')).toBe(0))
  })

  test.each([403, 404, 503])('polls when the stream fails with %d', async (status) => {
    vi.useFakeTimers({ shouldAdvanceTime: true })
    const { server, run, listed, user } = await visitExecutions((request) =>
      isPath('/events')(request) ? problem({ status, title: 'No', code: 'no' }) : undefined,
    )
    const { executionId = '' } = await run('polled')
    await user.click(screen.getByRole('link', { name: 'Batches' }))
    await user.click(screen.getByRole('link', { name: 'Executions' }))
    expect(await listed('polled')).toHaveTextContent('Queued')
    server.finish(executionId, { result: { text: 'done' } })
    await vi.advanceTimersByTimeAsync(5_000)
    await waitFor(async () => expect(await listed('polled')).toHaveTextContent('Succeeded'))
  })
})
