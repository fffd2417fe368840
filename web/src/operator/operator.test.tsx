import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { json, problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { signIn } from '../session/session.ts'
import { visit } from '../test/visit.tsx'

function withFleet(): StandIn {
  const server = new StandIn()
  const time = '2026-01-02T03:00:00Z'
  server.operator = {
    status: {
      version: 'v1',
      time,
      checks: [
        { name: 'firestore', ok: true },
        { name: 'leader', ok: false, detail: 'No executor leads.' },
      ],
      work: {
        waiting: { interactive: 12, batch: 100_000 },
        running: { interactive: 3, batch: 0 },
        countLimit: 100_000,
      },
    },
    executors: [
      {
        name: 'rack 7/a',
        session: 'prc_1.1',
        version: 'v1',
        alive: true,
        draining: false,
        pulling: false,
        reason: 'the Engine does not answer',
        slots: 8,
        reservedSlots: 2,
        busySlots: 3,
        architecture: 'amd64',
        labels: { zone: 'b' },
        runtimes: [{ name: 'claude', image: 'i', unavailable: 'no such image' }],
        startedAt: time,
        renewedAt: time,
      },
    ],
    tenants: [
      {
        id: 'ada',
        settings: { paused: false, maxRunning: 4, softLimit: 0.8, transcriptRetention: '72h0m0s' },
        work: {
          waiting: { interactive: 5, batch: 0 },
          running: { interactive: 4, batch: 0 },
          countLimit: 1000,
        },
      },
      {
        id: 'bob',
        settings: { paused: false, maxQueued: 0, maxRunning: 0, maxDailyUsd: 0 },
        work: {
          waiting: { interactive: 0, batch: 0 },
          running: { interactive: 0, batch: 0 },
          countLimit: 1000,
        },
      },
    ],
  }
  return server
}

describe("the operator's view", () => {
  test('shows health, work, executors and tenants', async () => {
    const { user } = visit('#/', withFleet())
    await user.click(await screen.findByRole('link', { name: 'Operator' }))
    expect(await screen.findByText(/No executor leads/)).toBeVisible()
    expect(screen.getByRole('row', { name: /Batches 100,000\+ 0/ })).toBeVisible()
    const executor = await screen.findByRole('row', { name: /rack 7\/a/ })
    expect(executor).toHaveTextContent(/Waits.*the Engine does not answer.*3 of 8.*claude: no such image/)
    const tenant = screen.getByRole('row', { name: /ada/ })
    expect(tenant).toHaveTextContent('4 running, warned at 80 %, transcripts for 72h0m0s')
    expect(screen.getByRole('row', { name: /bob/ })).toHaveTextContent(
      'no limit of queued, no limit of running, no limit of USD a day',
    )
  })

  test('drains an executor and pauses a tenant', async () => {
    const { user, requests } = visit('#/operator', withFleet())
    await user.click(await screen.findByRole('button', { name: 'Drain rack 7/a' }))
    expect(await screen.findByRole('button', { name: 'Resume rack 7/a' })).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Pause ada' }))
    expect(await screen.findByRole('button', { name: 'Resume ada' })).toBeVisible()
    const paths = requests.filter(({ method }) => method !== 'GET').map(({ url }) => new URL(url).pathname)
    expect(paths).toEqual(['/executors/rack%207%2Fa/drain', '/tenants/ada'])
  })

  test('lists only tenants with waiting work on request', async () => {
    const { user, requests } = visit('#/operator', withFleet())
    await user.click(await screen.findByLabelText('Only with waiting work'))
    await waitFor(() =>
      expect(requests.some(({ url }) => url.endsWith('/tenants?limit=50&waiting=true'))).toBe(true),
    )
  })

  // From here on the page has a key.
  test('is all that the operator sees: it is no tenant', async () => {
    signIn('the-key-of-the-operator')
    const refused = { status: 403, title: 'Forbidden', code: 'insufficient_scope', detail: 'No.' }
    visit('#/', withFleet(), ({ url }) => {
      const path = new URL(url).pathname
      if (path === '/me') {
        return json({ scopes: ['operator'] })
      }
      return /^\/(status|executors|tenants)/.test(path) ? undefined : problem(refused)
    })
    expect(await screen.findByRole('heading', { name: 'Operator' })).toBeVisible()
    expect(await screen.findByRole('row', { name: /rack 7\/a/ })).toBeVisible()
    expect(screen.queryByRole('navigation')).not.toBeInTheDocument()
    expect(within(screen.getByRole('main')).getByRole('button', { name: 'Sign out' })).toBeVisible()
  })

  test('is not offered to a tenant', async () => {
    signIn('alk_of_a_tenant')
    visit('#/', withFleet())
    expect(await screen.findByText('None yet. Start one above.')).toBeVisible()
    expect(screen.queryByRole('link', { name: 'Operator' })).not.toBeInTheDocument()
  })
})
